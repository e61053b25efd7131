//! A guardrail's policies: written from the arguments, and read back into them. Pure.

use aws_sdk_bedrock::operation::get_guardrail::GetGuardrailOutput;
use aws_sdk_bedrock::types as sdk;

use super::bedrock_guardrail_arguments::{
    Action, Arguments, ContentFilter, Grounding, Pattern, Strength, Tier, Topic, Treatment,
};
use crate::aws::tags::Tags;

const SET: &str = "internal error: required members are set";

/// Tells whether two configurations do the same: descriptions, tags and the version itself aside.
///
/// A version has a description of its own.
pub(super) fn same(one: &Arguments, other: &Arguments) -> bool {
    let plain = |arguments: &Arguments| {
        let mut arguments =
            Arguments { description: None, tags: Tags::new(), version: None, versions_kept: None, ..arguments.clone() };
        arguments.words.sort();
        for filter in arguments.content_filters.values_mut() {
            filter.modalities.sort();
        }
        arguments
    };
    plain(one) == plain(other)
}

pub(super) fn content(arguments: &Arguments) -> Option<sdk::GuardrailContentPolicyConfig> {
    let filters = arguments.content_filters.iter().map(|(name, filter)| {
        let modalities: Vec<_> = filter.modalities.iter().map(|name| name.as_str().into()).collect();
        let is_prompt_attack = name == "PROMPT_ATTACK";
        sdk::GuardrailContentFilterConfig::builder()
            .r#type(name.as_str().into())
            .input_strength(strength(filter.input))
            .output_strength(strength(filter.output))
            .input_action(content_action(filter.input_action))
            .output_action(content_action(filter.output_action))
            .set_input_modalities(Some(modalities.clone()))
            .set_output_modalities((!is_prompt_attack).then_some(modalities))
            .build()
            .expect(SET)
    });
    let filters: Vec<_> = filters.collect();
    let tier = sdk::GuardrailContentFiltersTierConfig::builder().tier_name(match arguments.tier {
        Tier::Classic => sdk::GuardrailContentFiltersTierName::Classic,
        Tier::Standard => sdk::GuardrailContentFiltersTierName::Standard,
    });
    (!filters.is_empty()).then(|| {
        sdk::GuardrailContentPolicyConfig::builder()
            .set_filters_config(Some(filters))
            .tier_config(tier.build().expect(SET))
            .build()
            .expect(SET)
    })
}

pub(super) fn topics(arguments: &Arguments) -> Option<sdk::GuardrailTopicPolicyConfig> {
    let topics = arguments.denied_topics.iter().map(|(name, topic)| {
        sdk::GuardrailTopicConfig::builder()
            .name(name)
            .definition(&topic.definition)
            .set_examples((!topic.examples.is_empty()).then(|| topic.examples.clone()))
            .r#type(sdk::GuardrailTopicType::Deny)
            .build()
            .expect(SET)
    });
    let topics: Vec<_> = topics.collect();
    let tier = sdk::GuardrailTopicsTierConfig::builder().tier_name(match arguments.tier {
        Tier::Classic => sdk::GuardrailTopicsTierName::Classic,
        Tier::Standard => sdk::GuardrailTopicsTierName::Standard,
    });
    (!topics.is_empty()).then(|| {
        sdk::GuardrailTopicPolicyConfig::builder()
            .set_topics_config(Some(topics))
            .tier_config(tier.build().expect(SET))
            .build()
            .expect(SET)
    })
}

pub(super) fn words(arguments: &Arguments) -> Option<sdk::GuardrailWordPolicyConfig> {
    let word = |text: &String| sdk::GuardrailWordConfig::builder().text(text).build().expect(SET);
    let list =
        |name: &String| sdk::GuardrailManagedWordsConfig::builder().r#type(name.as_str().into()).build().expect(SET);
    let words: Vec<_> = arguments.words.iter().map(word).collect();
    let lists: Vec<_> = arguments.managed_word_lists.iter().map(list).collect();
    (!words.is_empty() || !lists.is_empty()).then(|| {
        sdk::GuardrailWordPolicyConfig::builder()
            .set_words_config((!words.is_empty()).then_some(words))
            .set_managed_word_lists_config((!lists.is_empty()).then_some(lists))
            .build()
    })
}

pub(super) fn sensitive(arguments: &Arguments) -> Option<sdk::GuardrailSensitiveInformationPolicyConfig> {
    let entity = |(name, action): (&String, &Treatment)| {
        sdk::GuardrailPiiEntityConfig::builder()
            .r#type(name.as_str().into())
            .action(treatment(*action))
            .build()
            .expect(SET)
    };
    let regex = |(name, pattern): (&String, &Pattern)| {
        sdk::GuardrailRegexConfig::builder()
            .name(name)
            .pattern(&pattern.pattern)
            .set_description(pattern.description.clone())
            .action(treatment(pattern.action))
            .build()
            .expect(SET)
    };
    let entities: Vec<_> = arguments.sensitive_information.iter().map(entity).collect();
    let regexes: Vec<_> = arguments.regexes.iter().map(regex).collect();
    (!entities.is_empty() || !regexes.is_empty()).then(|| {
        sdk::GuardrailSensitiveInformationPolicyConfig::builder()
            .set_pii_entities_config((!entities.is_empty()).then_some(entities))
            .set_regexes_config((!regexes.is_empty()).then_some(regexes))
            .build()
    })
}

pub(super) fn grounding(arguments: &Arguments) -> Option<sdk::GuardrailContextualGroundingPolicyConfig> {
    use sdk::GuardrailContextualGroundingFilterType as Type;
    let grounding = arguments.contextual_grounding.as_ref()?;
    let filter = |kind: Type, threshold: Option<f64>| {
        let made = sdk::GuardrailContextualGroundingFilterConfig::builder().r#type(kind).threshold(threshold?);
        Some(made.build().expect(SET))
    };
    let filters = [filter(Type::Grounding, grounding.grounding), filter(Type::Relevance, grounding.relevance)];
    let filters: Vec<_> = filters.into_iter().flatten().collect();
    let policy = sdk::GuardrailContextualGroundingPolicyConfig::builder().set_filters_config(Some(filters));
    Some(policy.build().expect(SET))
}

pub(super) fn cross_region(arguments: &Arguments) -> Option<sdk::GuardrailCrossRegionConfig> {
    let profile = arguments.cross_region_profile.as_ref()?;
    Some(sdk::GuardrailCrossRegionConfig::builder().guardrail_profile_identifier(profile).build().expect(SET))
}

fn strength(strength: Strength) -> sdk::GuardrailFilterStrength {
    match strength {
        Strength::None => sdk::GuardrailFilterStrength::None,
        Strength::Low => sdk::GuardrailFilterStrength::Low,
        Strength::Medium => sdk::GuardrailFilterStrength::Medium,
        Strength::High => sdk::GuardrailFilterStrength::High,
    }
}

fn content_action(action: Action) -> sdk::GuardrailContentFilterAction {
    match action {
        Action::Block => sdk::GuardrailContentFilterAction::Block,
        Action::Detect => sdk::GuardrailContentFilterAction::None,
    }
}

fn treatment(treatment: Treatment) -> sdk::GuardrailSensitiveInformationAction {
    match treatment {
        Treatment::Block => sdk::GuardrailSensitiveInformationAction::Block,
        Treatment::Anonymize => sdk::GuardrailSensitiveInformationAction::Anonymize,
        Treatment::Detect => sdk::GuardrailSensitiveInformationAction::None,
    }
}

/// Reads what GetGuardrail answers; tags and `version` are set by the caller.
pub(super) fn read(found: &GetGuardrailOutput) -> Arguments {
    let content = found.content_policy();
    let topics = found.topic_policy();
    let words = found.word_policy();
    let sensitive = found.sensitive_information_policy();
    let standard = content.and_then(|policy| policy.tier()).is_some_and(|tier| tier.tier_name().as_str() == "STANDARD")
        || topics.and_then(|policy| policy.tier()).is_some_and(|tier| tier.tier_name().as_str() == "STANDARD");
    let filters = content.map(|policy| policy.filters()).unwrap_or_default();
    let regexes = sensitive.map(|policy| policy.regexes()).unwrap_or_default();
    let entities = sensitive.map(|policy| policy.pii_entities()).unwrap_or_default();
    let managed = words.map(|policy| policy.managed_word_lists()).unwrap_or_default();
    let words = words.map(|policy| policy.words()).unwrap_or_default();
    Arguments {
        name: Some(found.name().to_owned()),
        description: found.description().filter(|text| !text.is_empty()).map(str::to_owned),
        blocked_input_message: found.blocked_input_messaging().to_owned(),
        blocked_output_message: found.blocked_outputs_messaging().to_owned(),
        content_filters: filters.iter().map(read_filter).collect(),
        denied_topics: topics
            .map(|policy| policy.topics())
            .unwrap_or_default()
            .iter()
            .map(|topic| {
                let read = Topic { definition: topic.definition().to_owned(), examples: topic.examples().to_vec() };
                (topic.name().to_owned(), read)
            })
            .collect(),
        words: words.iter().map(|word| word.text().to_owned()).collect(),
        managed_word_lists: managed.iter().map(|list| list.r#type().as_str().to_owned()).collect(),
        sensitive_information: entities
            .iter()
            .map(|entity| (entity.r#type().as_str().to_owned(), read_treatment(entity.action())))
            .collect(),
        regexes: regexes.iter().map(read_regex).collect(),
        contextual_grounding: found.contextual_grounding_policy().map(read_grounding),
        tier: if standard { Tier::Standard } else { Tier::Classic },
        cross_region_profile: found
            .cross_region_details()
            .and_then(|details| details.guardrail_profile_id().or(details.guardrail_profile_arn()))
            .map(str::to_owned),
        kms_key: found.kms_key_arn().filter(|text| !text.is_empty()).map(str::to_owned),
        version: None,
        versions_kept: None,
        tags: Tags::new(),
    }
}

fn read_filter(filter: &sdk::GuardrailContentFilter) -> (String, ContentFilter) {
    let action = |action: Option<&sdk::GuardrailContentFilterAction>| match action {
        Some(sdk::GuardrailContentFilterAction::None) => Action::Detect,
        _ => Action::Block,
    };
    let modalities = filter.input_modalities().iter().map(|modality| modality.as_str().to_owned()).collect::<Vec<_>>();
    let read = ContentFilter {
        input: read_strength(filter.input_strength()),
        output: read_strength(filter.output_strength()),
        input_action: action(filter.input_action()),
        output_action: action(filter.output_action()),
        modalities: if modalities.is_empty() { vec!["TEXT".to_owned()] } else { modalities },
    };
    (filter.r#type().as_str().to_owned(), read)
}

fn read_strength(strength: &sdk::GuardrailFilterStrength) -> Strength {
    match strength {
        sdk::GuardrailFilterStrength::None => Strength::None,
        sdk::GuardrailFilterStrength::Low => Strength::Low,
        sdk::GuardrailFilterStrength::Medium => Strength::Medium,
        _ => Strength::High,
    }
}

fn read_treatment(action: &sdk::GuardrailSensitiveInformationAction) -> Treatment {
    match action {
        sdk::GuardrailSensitiveInformationAction::Anonymize => Treatment::Anonymize,
        sdk::GuardrailSensitiveInformationAction::None => Treatment::Detect,
        _ => Treatment::Block,
    }
}

fn read_regex(regex: &sdk::GuardrailRegex) -> (String, Pattern) {
    let read = Pattern {
        pattern: regex.pattern().to_owned(),
        action: read_treatment(regex.action()),
        description: regex.description().filter(|text| !text.is_empty()).map(str::to_owned),
    };
    (regex.name().to_owned(), read)
}

fn read_grounding(policy: &sdk::GuardrailContextualGroundingPolicy) -> Grounding {
    let of = |kind: &sdk::GuardrailContextualGroundingFilterType| {
        policy.filters().iter().find(|filter| filter.r#type() == kind).map(|filter| filter.threshold())
    };
    Grounding {
        grounding: of(&sdk::GuardrailContextualGroundingFilterType::Grounding),
        relevance: of(&sdk::GuardrailContextualGroundingFilterType::Relevance),
    }
}
