//! `opora graph`: what refers to what, as DOT or as a tree.

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::context::Context;
use super::exit::Exit;
use crate::graph::{Address, topological};

/// The form of the drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Tree,
    Dot,
}

/// Arguments of `opora graph`.
#[derive(Debug, Args)]
pub(crate) struct Graph {
    /// A tree for the terminal, or DOT for Graphviz.
    #[arg(long, value_enum, default_value = "tree")]
    format: Format,
}

pub(crate) fn run(args: &Graph, context: &Context) -> Exit {
    let spec = match context.load() {
        Ok(spec) => spec,
        Err(refused) => {
            context.refuse(&refused, None);
            return Exit::Failed;
        }
    };
    let needs: BTreeMap<Address, BTreeSet<Address>> = spec
        .environment
        .resources
        .iter()
        .map(|(address, desired)| (address.clone(), desired.references.clone()))
        .collect();
    if context.out.json {
        let order = topological(&needs).unwrap_or_default();
        context.out.document(&json!({ "needs": needs, "order": order }));
        return Exit::Done;
    }
    match args.format {
        Format::Dot => context.out.raw(&dot(&needs)),
        Format::Tree => context.out.raw(&tree(&needs)),
    }
    Exit::Done
}

fn dot(needs: &BTreeMap<Address, BTreeSet<Address>>) -> String {
    let quoted = |address: &Address| serde_json::Value::from(address.to_string()).to_string();
    let mut out = String::from("digraph opora {\n  rankdir = \"RL\";\n  node [shape = \"box\"];\n");
    for (address, references) in needs {
        out.push_str(&format!("  {};\n", quoted(address)));
        for reference in references {
            out.push_str(&format!("  {} -> {};\n", quoted(address), quoted(reference)));
        }
    }
    out.push_str("}\n");
    out
}

/// Draws each resource that nothing needs with what it needs below it; what was drawn before is only named.
fn tree(needs: &BTreeMap<Address, BTreeSet<Address>>) -> String {
    let needed: BTreeSet<&Address> = needs.values().flatten().collect();
    let mut drawn = BTreeSet::new();
    let mut out = String::new();
    for root in needs.keys().filter(|address| !needed.contains(address)) {
        branch(needs, root, "", "", &mut drawn, &mut out);
    }
    out
}

fn branch<'a>(
    needs: &'a BTreeMap<Address, BTreeSet<Address>>,
    address: &'a Address,
    head: &str,
    indent: &str,
    drawn: &mut BTreeSet<&'a Address>,
    out: &mut String,
) {
    let references = needs.get(address);
    let again = !drawn.insert(address) && references.is_some_and(|references| !references.is_empty());
    out.push_str(&format!("{head}{address}{}\n", if again { " …" } else { "" }));
    if again {
        return;
    }
    let mut references = references.into_iter().flatten().peekable();
    while let Some(reference) = references.next() {
        let (turn, below) = if references.peek().is_some() { ("├─ ", "│  ") } else { ("└─ ", "   ") };
        branch(needs, reference, &format!("{indent}{turn}"), &format!("{indent}{below}"), drawn, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_names_again_what_it_drew_before() {
        let address = |text: &str| text.parse::<Address>().unwrap();
        let needs = BTreeMap::from([
            (address("vpc.main"), BTreeSet::new()),
            (address("subnet.a"), BTreeSet::from([address("vpc.main")])),
            (address("nat_gateway.n"), BTreeSet::from([address("subnet.a"), address("vpc.main")])),
            (address("vpc_endpoint.s3"), BTreeSet::from([address("subnet.a")])),
        ]);
        insta::assert_snapshot!(tree(&needs), @r"
        nat_gateway.n
        ├─ subnet.a
        │  └─ vpc.main
        └─ vpc.main
        vpc_endpoint.s3
        └─ subnet.a …
        ");
        assert!(dot(&needs).contains("\"subnet.a\" -> \"vpc.main\";"));
    }
}
