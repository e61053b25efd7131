//! What a budget counts: period, metric and filters, in our words and in AWS's.

use std::collections::BTreeMap;

use aws_sdk_budgets::types::{
    Dimension, Expression, ExpressionDimensionValues, MatchOption, Metric as AwsMetric, TagValues, TimeUnit,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long a period is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    Daily,
    #[default]
    Monthly,
    Quarterly,
    Annually,
}

impl Period {
    const ALL: [(Self, TimeUnit); 4] = [
        (Self::Daily, TimeUnit::Daily),
        (Self::Monthly, TimeUnit::Monthly),
        (Self::Quarterly, TimeUnit::Quarterly),
        (Self::Annually, TimeUnit::Annually),
    ];

    pub(super) fn to_aws(self) -> TimeUnit {
        let found = Self::ALL.into_iter().find(|(own, _)| *own == self);
        found.expect("internal error: every period is in the table").1
    }

    /// Reads AWS's word; `None` for a custom period, which opora has no word for.
    pub(super) fn from_aws(unit: &TimeUnit) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, aws)| aws == unit).map(|(own, _)| own)
    }
}

/// How costs are counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Costs on the day they arise.
    #[default]
    Unblended,
    /// At the organisation's average rate.
    Blended,
    /// With upfront fees spread over the time they pay for.
    Amortized,
    /// As unblended, after discounts.
    NetUnblended,
    /// As amortized, after discounts.
    NetAmortized,
}

impl Metric {
    const ALL: [(Self, AwsMetric); 5] = [
        (Self::Unblended, AwsMetric::UnblendedCost),
        (Self::Blended, AwsMetric::BlendedCost),
        (Self::Amortized, AwsMetric::AmortizedCost),
        (Self::NetUnblended, AwsMetric::NetUnblendedCost),
        (Self::NetAmortized, AwsMetric::NetAmortizedCost),
    ];

    pub(super) fn to_aws(self) -> AwsMetric {
        let found = Self::ALL.into_iter().find(|(own, _)| *own == self);
        found.expect("internal error: every metric is in the table").1
    }

    pub(super) fn from_aws(metric: &AwsMetric) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, aws)| aws == metric).map(|(own, _)| own)
    }
}

/// Values of which any one counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(extend("x-set" = true))]
pub struct Values(pub Vec<String>);

/// Which costs count: those that all of the filters let through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filters {
    /// By dimension, such as `SERVICE`, `REGION`, `LINKED_ACCOUNT`, `INSTANCE_TYPE` or `USAGE_TYPE`: only costs
    /// with one of the values.
    #[serde(default)]
    pub only: BTreeMap<String, Values>,
    /// By dimension: only costs with none of the values, such as `RECORD_TYPE: [Credit, Refund]`.
    #[serde(default)]
    pub except: BTreeMap<String, Values>,
    /// By cost allocation tag: only costs with one of the values.
    #[serde(default)]
    pub tags: BTreeMap<String, Values>,
}

impl Filters {
    pub(super) fn to_expression(&self) -> Option<Expression> {
        let mut all = Vec::new();
        all.extend(self.only.iter().map(|(key, values)| dimension(key, values)));
        all.extend(self.tags.iter().map(|(key, values)| {
            let tag = TagValues::builder().key(key).set_values(Some(values.0.clone())).build();
            Expression::builder().tags(tag).build()
        }));
        all.extend(self.except.iter().map(|(key, values)| Expression::builder().not(dimension(key, values)).build()));
        if all.len() > 1 {
            return Some(Expression::builder().set_and(Some(all)).build());
        }
        all.pop()
    }

    /// Reads AWS's expression; `None` where it says what these filters can't.
    pub(super) fn from_expression(expression: Option<&Expression>) -> Option<Self> {
        let mut out = Self::default();
        if let Some(expression) = expression {
            out.take(expression)?;
        }
        Some(out)
    }

    fn take(&mut self, expression: &Expression) -> Option<()> {
        let (key, values, target) = match parts(expression)? {
            Part::And(all) => return all.iter().try_for_each(|one| self.take(one)),
            Part::Dimension(found) => (found.key.as_str(), found.values.clone(), &mut self.only),
            Part::Tag(found) => (found.key.as_deref()?, found.values.clone()?, &mut self.tags),
            Part::Not(inner) => match parts(inner)? {
                Part::Dimension(found) => (found.key.as_str(), found.values.clone(), &mut self.except),
                _ => return None,
            },
        };
        // Two filters on one key would have to be met both.
        target.insert(key.to_owned(), Values(values)).is_none().then_some(())
    }
}

enum Part<'e> {
    And(&'e [Expression]),
    Dimension(&'e ExpressionDimensionValues),
    Tag(&'e TagValues),
    Not(&'e Expression),
}

/// Returns the only part of an expression, where it is one that our filters have.
fn parts(expression: &Expression) -> Option<Part<'_>> {
    if expression.or.as_ref().is_some_and(|list| !list.is_empty()) || expression.cost_categories.is_some() {
        return None;
    }
    let and = expression.and.as_deref().filter(|list| !list.is_empty()).map(Part::And);
    let dimension = expression.dimensions.as_ref().filter(|it| plain(it.match_options())).map(Part::Dimension);
    let tag = expression.tags.as_ref().filter(|it| plain(it.match_options())).map(Part::Tag);
    let not = expression.not.as_deref().map(Part::Not);
    let mut found = [and, dimension, tag, not].into_iter().flatten();
    found.next().filter(|_| found.next().is_none())
}

/// Tells whether values are compared as a whole, which is what no option means too.
fn plain(options: &[MatchOption]) -> bool {
    options.iter().all(|option| [MatchOption::Equals, MatchOption::CaseSensitive].contains(option))
}

fn dimension(key: &str, values: &Values) -> Expression {
    let dimension = ExpressionDimensionValues::builder().key(Dimension::from(key)).set_values(Some(values.0.clone()));
    let dimension = dimension.build().expect("internal error: key and values are set");
    Expression::builder().dimensions(dimension).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: &str, value: &str) -> BTreeMap<String, Values> {
        BTreeMap::from([(key.to_owned(), Values(vec![value.to_owned()]))])
    }

    #[test]
    fn filters_go_both_ways() {
        let all = Filters {
            only: one("SERVICE", "Amazon SageMaker"),
            except: one("RECORD_TYPE", "Credit"),
            tags: one("team", "ml"),
        };
        for filters in [
            Filters::default(),
            Filters { only: one("REGION", "us-east-1"), ..Filters::default() },
            Filters { except: one("RECORD_TYPE", "Refund"), ..Filters::default() },
            all,
        ] {
            assert_eq!(Filters::from_expression(filters.to_expression().as_ref()), Some(filters));
        }
    }

    #[test]
    fn what_filters_cannot_say_is_not_guessed() {
        let inner = dimension("SERVICE", &Values(vec!["x".to_owned()]));
        let or = Expression::builder().or(inner.clone()).build();
        assert_eq!(Filters::from_expression(Some(&or)), None);
        let starts = ExpressionDimensionValues::builder().key(Dimension::Service).values("x");
        let starts = starts.match_options(MatchOption::StartsWith).build().unwrap();
        assert_eq!(Filters::from_expression(Some(&Expression::builder().dimensions(starts).build())), None);
        let twice = Expression::builder().and(inner.clone()).and(inner).build();
        assert_eq!(Filters::from_expression(Some(&twice)), None);
    }
}
