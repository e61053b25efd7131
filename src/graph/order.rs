//! Orders nodes by their edges, and shows a cycle whole where there is one.

use std::collections::{BTreeMap, BTreeSet};

/// A chain of nodes in which each needs the next and the last is the first again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cycle<N>(pub Vec<N>);

/// Returns the nodes so that each stands after all that it needs; ties are broken by the nodes' own order.
///
/// Edges to nodes that are not in the map are ignored.
///
/// # Errors
/// Returns one shortest-found cycle, its first node repeated at the end.
pub fn topological<N: Ord + Clone>(needs: &BTreeMap<N, BTreeSet<N>>) -> Result<Vec<N>, Cycle<N>> {
    Ok(levels(needs)?.into_iter().flatten().collect())
}

/// Groups the nodes into levels: all that a node needs stands in earlier levels.
///
/// # Errors
/// Returns a cycle, its first node repeated at the end.
pub fn levels<N: Ord + Clone>(needs: &BTreeMap<N, BTreeSet<N>>) -> Result<Vec<Vec<N>>, Cycle<N>> {
    let mut open: BTreeMap<&N, usize> = BTreeMap::new();
    let mut needed_by: BTreeMap<&N, Vec<&N>> = BTreeMap::new();
    for (node, edges) in needs {
        let known = edges.iter().filter(|edge| needs.contains_key(edge));
        open.insert(node, known.clone().count());
        for edge in known {
            needed_by.entry(edge).or_default().push(node);
        }
    }
    let mut level: Vec<&N> = open.iter().filter(|(_, count)| **count == 0).map(|(node, _)| *node).collect();
    let mut out = Vec::new();
    let mut placed = 0;
    while !level.is_empty() {
        placed += level.len();
        let mut next = Vec::new();
        for node in &level {
            for user in needed_by.get(node).into_iter().flatten() {
                let count = open.get_mut(user).expect("internal error: every user is a node");
                *count -= 1;
                if *count == 0 {
                    next.push(*user);
                }
            }
        }
        next.sort();
        out.push(level.into_iter().cloned().collect());
        level = next;
    }
    if placed == needs.len() { Ok(out) } else { Err(find_cycle(needs, &open)) }
}

fn find_cycle<N: Ord + Clone>(needs: &BTreeMap<N, BTreeSet<N>>, open: &BTreeMap<&N, usize>) -> Cycle<N> {
    let stuck = |node: &N| open.get(node).is_some_and(|count| *count > 0);
    let start = needs.keys().find(|node| stuck(node)).expect("internal error: a cycle has a node");
    let mut path: Vec<&N> = vec![start];
    loop {
        let last = path[path.len() - 1];
        let next =
            needs[last].iter().find(|edge| stuck(edge)).expect("internal error: a stuck node needs a stuck node");
        if let Some(at) = path.iter().position(|node| *node == next) {
            let mut cycle: Vec<N> = path[at..].iter().map(|node| (*node).clone()).collect();
            cycle.push(next.clone());
            return Cycle(cycle);
        }
        path.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&'static str, &[&'static str])]) -> BTreeMap<&'static str, BTreeSet<&'static str>> {
        edges.iter().map(|(node, needs)| (*node, needs.iter().copied().collect())).collect()
    }

    #[test]
    fn what_is_needed_comes_first() {
        let graph = graph(&[("subnet", &["vpc"]), ("vpc", &[]), ("a", &[]), ("route", &["subnet", "gone"])]);
        assert_eq!(levels(&graph).unwrap(), vec![vec!["a", "vpc"], vec!["subnet"], vec!["route"]]);
    }

    #[test]
    fn a_cycle_is_shown_whole() {
        let graph = graph(&[("x", &["key"]), ("key", &["role"]), ("role", &["policy"]), ("policy", &["key"])]);
        assert_eq!(topological(&graph), Err(Cycle(vec!["key", "role", "policy", "key"])));
        let own = BTreeMap::from([("a", BTreeSet::from(["a"]))]);
        assert_eq!(topological(&own), Err(Cycle(vec!["a", "a"])));
    }
}
