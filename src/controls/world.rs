//! The resources of one evaluation, arranged so that no check walks all of them for each one.
//!
//! Lists by kind are made once; a `with … on` is answered from an index per check. A list whose kind could not be
//! listed is open: it may have members that nobody could see.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::audit::ReadProblems;
use super::check::{Check, Related, TAGGED};
use super::expression::{Evaluator, List, Lists, Subject, Unknown, Val, equals};
use crate::kind::{KindSchema, KindSchemas, Resource};

/// All resources, by kind.
pub(super) struct World<'v> {
    subjects: Vec<Subject<'v>>,
    by_kind: BTreeMap<&'v str, Vec<usize>>,
    problems: &'v ReadProblems,
}

impl<'v> World<'v> {
    pub(super) fn new(resources: &'v [Resource], kinds: &'v KindSchemas, problems: &'v ReadProblems) -> Self {
        let subject = |resource: &'v Resource| Subject { resource, schema: kinds.get(&resource.kind) };
        let subjects: Vec<_> = resources.iter().map(subject).collect();
        let mut by_kind: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, resource) in resources.iter().enumerate() {
            by_kind.entry(&resource.kind).or_default().push(at);
        }
        for members in by_kind.values_mut() {
            members.sort_by_key(|at| (&resources[*at].address, &resources[*at].id));
        }
        Self { subjects, by_kind, problems }
    }

    /// Returns the resources that a check of a kind is about.
    pub(super) fn population(&self, kind: &str) -> Vec<&Subject<'v>> {
        if kind != TAGGED {
            return self.of_kind(kind).collect();
        }
        let takes_tags = |subject: &&Subject<'v>| subject.schema.is_some_and(KindSchema::takes_tags);
        self.by_kind.keys().flat_map(|kind| self.of_kind(kind)).filter(takes_tags).collect()
    }

    /// Returns the resources of a kind, in the order of their addresses and ids.
    pub(super) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Subject<'v>> {
        self.by_kind.get(kind).into_iter().flatten().map(|at| &self.subjects[*at])
    }

    /// Returns why a kind's resources may be more than those seen.
    pub(super) fn unlisted(&self, kind: &str) -> Option<Rc<Unknown>> {
        let (kind, reason) = match kind {
            TAGGED => self.problems.unlisted.iter().next()?,
            _ => self.problems.unlisted.get_key_value(kind)?,
        };
        Some(Rc::new(Unknown::Unlisted { kind: kind.clone(), reason: reason.clone() }))
    }
}

/// A check's view of the world; made once per check.
pub(super) struct View<'w> {
    world: &'w World<'w>,
    lists: OnceCell<BTreeMap<&'w str, Rc<List<'w>>>>,
    indexes: Vec<Index<'w>>,
}

/// The related resources of one `with` entry by the text they are joined on.
struct Index<'w> {
    related: &'w Related,
    by_text: BTreeMap<String, Vec<&'w Subject<'w>>>,
    /// Those whose field is not a known text.
    others: Vec<(&'w Subject<'w>, Val<'w>)>,
}

impl<'w> View<'w> {
    pub(super) fn new(world: &'w World<'w>, check: &'w Check) -> Self {
        let indexes = check.with.iter().map(|related| Index::new(world, related)).collect();
        Self { world, lists: OnceCell::new(), indexes }
    }

    /// Makes the lists of one resource (or of the account).
    pub(super) fn lists_for(&'w self, subject: Option<&'w Subject<'w>>) -> SubjectLists<'w> {
        SubjectLists { view: self, subject }
    }
}

impl<'w> Index<'w> {
    fn new(world: &'w World<'w>, related: &'w Related) -> Self {
        let mut index = Self { related, by_text: BTreeMap::new(), others: Vec::new() };
        let Some((theirs, _)) = &related.on else {
            index.others = world.of_kind(&related.kind).map(|subject| (subject, Val::Null)).collect();
            return index;
        };
        for subject in world.of_kind(&related.kind) {
            match Evaluator::new(None, &Nothing).run(theirs, Some(subject)) {
                Val::Text(text) => index.by_text.entry(text.into_owned()).or_default().push(subject),
                Val::Null => {}
                other => index.others.push((subject, other)),
            }
        }
        index
    }
}

struct Nothing;

impl<'v> Lists<'v> for Nothing {
    fn related(&self, _: &str) -> Option<Val<'v>> {
        None
    }

    fn of_kind(&self, _: &str) -> Val<'v> {
        Val::Null
    }
}

/// The lists an expression sees for one resource.
pub(super) struct SubjectLists<'w> {
    view: &'w View<'w>,
    subject: Option<&'w Subject<'w>>,
}

impl<'w> Lists<'w> for SubjectLists<'w> {
    fn related(&self, name: &str) -> Option<Val<'w>> {
        let index = self.view.indexes.iter().find(|index| index.related.name == name)?;
        Some(Val::List(Rc::new(self.members(index))))
    }

    fn of_kind(&self, kind: &str) -> Val<'w> {
        let world = self.view.world;
        let lists = self.view.lists.get_or_init(|| {
            let list = |kind: &&'w str| {
                let items = world.of_kind(kind).map(Val::Subject).collect();
                (*kind, Rc::new(List { items, open: world.unlisted(kind) }))
            };
            world.by_kind.keys().map(list).collect()
        });
        match lists.get(kind) {
            Some(list) => Val::List(Rc::clone(list)),
            None => Val::List(Rc::new(List { items: Vec::new(), open: world.unlisted(kind) })),
        }
    }
}

impl<'w> SubjectLists<'w> {
    fn members(&self, index: &'w Index<'w>) -> List<'w> {
        let related = index.related;
        let mut list = List { items: Vec::new(), open: self.view.world.unlisted(&related.kind) };
        let ours = related.on.as_ref().map(|(_, ours)| Evaluator::new(self.subject, &Nothing).run(ours, None));
        match &ours {
            Some(Val::Text(text)) => {
                for subject in index.by_text.get(text.as_ref()).into_iter().flatten() {
                    self.admit(related, subject, Val::Bool(true), &mut list);
                }
            }
            Some(ours) => {
                let known = index.by_text.iter().flat_map(|(text, all)| all.iter().map(move |one| (text, one)));
                for (text, subject) in known {
                    let same = equals(ours, &Val::Text(text.as_str().into()));
                    self.admit(related, subject, same, &mut list);
                }
            }
            None => {}
        }
        for (subject, theirs) in &index.others {
            let same = ours.as_ref().map_or(Val::Bool(true), |ours| equals(ours, theirs));
            self.admit(related, subject, same, &mut list);
        }
        list
    }

    /// Adds a resource that belongs to the list; one of which that is not known leaves the list open.
    fn admit(&self, related: &'w Related, subject: &'w Subject<'w>, joined: Val<'w>, list: &mut List<'w>) {
        let belongs = match (joined, &related.filter) {
            (Val::Bool(true), Some(filter)) => Evaluator::new(self.subject, &Nothing).run(filter, Some(subject)),
            (other, _) => other,
        };
        match belongs {
            Val::Bool(true) => list.items.push(Val::Subject(subject)),
            Val::Bool(false) => {}
            Val::Unknown(why) => list.open = list.open.take().or(Some(why)),
            other => list.open = list.open.take().or(Some(Unknown::invalid(other.type_name()))),
        }
    }
}
