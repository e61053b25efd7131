//! The language's semantics, what loading refuses, and how findings become states.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::*;
use crate::diagnostic::{Location, SourceId, SourceMap};
use crate::graph::{Address, PhysicalId};
use crate::kind::{Actions, Identity, KindSchema, KindSchemas, PolicyDocument, Resource, SchemaNode, Scope};
use crate::value::{unknown, unreadable};

#[derive(Serialize, Deserialize, JsonSchema)]
struct Box_ {
    name: String,
    #[serde(default)]
    lock: Option<Lock>,
    #[serde(default)]
    size: Option<u32>,
    #[serde(default)]
    open: bool,
    #[serde(default)]
    items: Vec<Item>,
    #[serde(default)]
    policy: Option<PolicyDocument>,
    #[serde(default)]
    room: Option<String>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    tags: std::collections::BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Lock {
    #[serde(default)]
    key: Option<String>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Item {
    #[serde(default)]
    weight: u32,
}

#[derive(Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "lowercase")]
enum Mode {
    #[default]
    Idle,
    Busy,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Room {
    name: String,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Made {
    id: String,
}

fn kinds() -> KindSchemas {
    let kind = |name, arguments| KindSchema {
        name,
        service: "test",
        identity: Identity::Tags,
        holds_data: false,
        actions: Actions::default(),
        arguments,
        attributes: SchemaNode::of::<Made>(),
    };
    [kind("box", SchemaNode::of::<Box_>()), kind("room", SchemaNode::of::<Room>())].into_iter().collect()
}

fn catalogue() -> Catalogue {
    let file = |id: &str, evidence: &str| format!("{{ id: {id}, title: t, theme: people, intent: i, {evidence} }}");
    let files = [
        ("f/A.1.yaml", file("A.1", "evidence: checks")),
        ("f/A.2.yaml", file("A.2", "evidence: records, records: [drift]")),
        (
            "f/A.3.yaml",
            file(
                "A.3",
                "evidence: attestation, \
                 attestation: { question: q?, owner_role: r, accepted_evidence: [e], valid_days: 30 }",
            ),
        ),
    ];
    let (catalogue, problems) =
        Catalogue::load("f", files.iter().map(|(name, text)| (*name, text.as_str())), &mut SourceMap::default());
    assert!(problems.is_empty(), "{problems:?}");
    catalogue
}

fn check_file(body: &str) -> String {
    format!(
        "id: c\nkind: box\nseverity: high\nmessage: wrong\nremediation: {{}}\nsupports: {{ f/A.1: because }}\n\
         references: [r]\n{body}\n"
    )
}

fn load(body: &str) -> (Checks, Vec<String>) {
    let text = check_file(body);
    let mut sources = SourceMap::default();
    let (checks, problems) = Checks::load([("policies/c.yaml", text.as_str())], &kinds(), &catalogue(), &mut sources);
    let line = |problem: &crate::diagnostic::Diagnostic| {
        let label = &problem.labels[0];
        let Location::Span(span) = &label.location else { return String::new() };
        let help = problem.help.as_deref().unwrap_or("-");
        format!("{} [{}] {} ({help})", problem.code, &text[span.start..span.end], label.text)
    };
    (checks, problems.iter().map(line).collect())
}

fn thing(kind: &str, name: &str, arguments: Value) -> Resource {
    Resource {
        kind: kind.into(),
        address: Some(Address::new(kind, name)),
        id: Some(PhysicalId(format!("{name}-id"))),
        arguments,
        attributes: json!({ "id": format!("{name}-id") }),
    }
}

struct Case {
    resources: Vec<Resource>,
    problems: ReadProblems,
    waivers: Waivers,
    attestations: Attestations,
    records: Vec<RecordEvidence>,
    now: &'static str,
}

impl Case {
    fn of(resources: Vec<Resource>) -> Self {
        Self {
            resources,
            problems: ReadProblems::default(),
            waivers: Waivers::default(),
            attestations: Attestations::default(),
            records: Vec::new(),
            now: "2026-06-15T12:00:00Z",
        }
    }

    fn audit(&self, body: &str) -> Audit {
        let (checks, problems) = load(body);
        assert!(problems.is_empty(), "{problems:?}");
        evaluate(&Question {
            checks: &checks,
            catalogue: &catalogue(),
            kinds: &kinds(),
            resources: &self.resources,
            problems: &self.problems,
            waivers: &self.waivers,
            attestations: &self.attestations,
            records: &self.records,
            scope: &Scope { environment: "e".into(), account: "1".into(), region: "r".into() },
            moment: Moment::Live,
            now: self.now.parse::<Timestamp>().unwrap(),
        })
    }
}

#[track_caller]
fn verdict(arguments: Value, assert: &str, expected: Verdict) -> String {
    let audit = Case::of(vec![thing("box", "a", arguments)]).audit(&format!("assert: {}", json!(assert)));
    let finding = &audit.findings[0];
    assert_eq!(finding.verdict, expected, "{assert}: {:?}", finding.reason);
    finding.reason.clone().unwrap_or_default()
}

#[test]
fn three_values_follow_kleene() {
    let hidden = json!({ "name": "n", "open": unreadable("denied"), "size": 5 });
    for (assert, expected) in [
        ("resource.open", Verdict::Unknown),
        ("!resource.open", Verdict::Unknown),
        ("resource.open == true", Verdict::Unknown),
        ("resource.open != true", Verdict::Unknown),
        ("resource.open || resource.size == 5", Verdict::Pass),
        ("resource.size == 5 || resource.open", Verdict::Pass),
        ("resource.open && resource.size == 6", Verdict::Fail),
        ("resource.size == 6 && resource.open", Verdict::Fail),
        ("resource.open && resource.size == 5", Verdict::Unknown),
        ("resource.open ? true : true", Verdict::Unknown),
        ("resource.size > 4 && resource.size <= 5", Verdict::Pass),
        ("[1, 5].exists(x, x == resource.size)", Verdict::Pass),
        ("resource.size in [1, 2]", Verdict::Fail),
    ] {
        let reason = verdict(hidden.clone(), assert, expected);
        assert!(expected != Verdict::Unknown || reason == "`open` could not be read: denied", "{reason}");
    }
}

#[test]
fn what_is_not_set_reads_null_and_what_is_missing_is_unknown() {
    let bare = json!({ "open": false });
    for (assert, expected) in [
        ("resource.lock == null", Verdict::Pass),
        ("resource.lock.key == null", Verdict::Pass),
        ("has(resource.lock.key)", Verdict::Fail),
        ("given(resource.lock.key)", Verdict::Fail),
        ("resource.items.all(i, i.weight > 1)", Verdict::Pass),
        ("resource.items.exists(i, i.weight > 1)", Verdict::Fail),
        ("size(resource.items) == 0", Verdict::Pass),
        ("resource.tags[\"owner\"] == null", Verdict::Pass),
        ("\"owner\" in resource.tags", Verdict::Fail),
        ("resource.name == \"\"", Verdict::Unknown),
        ("resource.size > 4", Verdict::Unknown),
        ("size(statements(resource.policy)) == 0", Verdict::Pass),
    ] {
        verdict(bare.clone(), assert, expected);
    }
    assert_eq!(verdict(json!({}), "resource.name == \"\"", Verdict::Unknown), "`name` is not in what was read");
}

#[test]
fn references_are_set_but_not_known() {
    let planned = json!({ "name": "n", "room": unknown("room.a.id"), "lock": { "key": unknown("kms_key.k.arn") },
        "items": [{ "weight": 3 }] });
    for (assert, expected) in [
        ("has(resource.lock.key)", Verdict::Pass),
        ("given(resource.lock.key)", Verdict::Pass),
        ("resource.lock.key != null", Verdict::Pass),
        ("customer_key(resource.lock.key)", Verdict::Pass),
        ("customer_key(resource.room)", Verdict::Unknown),
        ("resource.lock.key != \"\"", Verdict::Unknown),
        ("resource.lock.key.startsWith(\"arn:\")", Verdict::Unknown),
        ("resource.room == resource.room", Verdict::Pass),
        ("resource.room == \"room-1\"", Verdict::Fail),
    ] {
        verdict(planned.clone(), assert, expected);
    }
    let reason = verdict(planned, "resource.lock.key != \"\"", Verdict::Unknown);
    assert_eq!(reason, "`lock.key` is known after apply (it comes from `kms_key.k.arn`)");
}

#[test]
fn lists_that_could_not_be_seen_whole_stay_open() {
    let has_room =
        "with: { rooms: { kind: room, on: { id: room } } }\nassert: size(rooms) > 0 || rooms.exists(r, true)";
    let all_named = "with: { rooms: { kind: room } }\nassert: rooms.all(r, r.name != \"\")";
    let hidden = || ReadProblems { unlisted: [("room".to_owned(), "denied".to_owned())].into() };
    for (room, listed, body, expected) in [
        (json!("a-id"), true, has_room, Verdict::Pass),
        (
            json!("a-id"),
            false,
            "with: { rooms: { kind: room, on: { id: room } } }\nassert: rooms.exists(r, true)",
            Verdict::Pass,
        ),
        (json!("b-id"), true, has_room, Verdict::Fail),
        (json!("b-id"), false, has_room, Verdict::Unknown),
        (json!(unknown("room.b.id")), true, has_room, Verdict::Fail),
        (json!(unknown("room.b.other")), true, has_room, Verdict::Unknown),
        (Value::Null, true, has_room, Verdict::Fail),
        (json!("a-id"), true, all_named, Verdict::Pass),
        (json!("a-id"), false, all_named, Verdict::Unknown),
    ] {
        let mut case = Case::of(vec![
            thing("box", "b", json!({ "name": "n", "room": room })),
            thing("room", "a", json!({ "name": "n" })),
        ]);
        if !listed {
            case.problems = hidden();
        }
        let finding = &case.audit(body).findings[0];
        assert_eq!(finding.verdict, expected, "{room} {body}: {:?}", finding.reason);
    }
}

#[test]
fn planned_resources_are_joined_by_their_references() {
    let mut room = thing("room", "a", json!({ "name": "n" }));
    (room.id, room.attributes) = (None, json!({}));
    let mut other = room.clone();
    other.address = Some(Address::new("room", "b"));
    let boxed = thing("box", "x", json!({ "name": "n", "room": unknown("room.a.id") }));
    let case = Case::of(vec![room, other, boxed]);
    let text = check_file("with: { boxes: { kind: box, on: { room: id } } }\nassert: boxes.exists(b, true)")
        .replace("kind: box\nseverity", "kind: room\nseverity");
    let (checks, problems) =
        Checks::load([("c.yaml", text.as_str())], &kinds(), &catalogue(), &mut SourceMap::default());
    assert!(problems.is_empty(), "{problems:?}");
    let audit = evaluate(&Question {
        checks: &checks,
        catalogue: &catalogue(),
        kinds: &kinds(),
        resources: &case.resources,
        problems: &case.problems,
        waivers: &case.waivers,
        attestations: &case.attestations,
        records: &[],
        scope: &Scope { environment: "e".into(), account: "1".into(), region: "r".into() },
        moment: Moment::Spec,
        now: Timestamp::UNIX_EPOCH,
    });
    let verdicts: Vec<_> = audit.findings.iter().map(|finding| finding.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Fail]);
}

#[test]
fn loading_refuses_what_could_never_be_answered() {
    for (body, expected) in [
        ("assert: resource.lock.kye == null", "CTL003 [kye] `kye` is not a field of box.lock (did you mean `key`?)"),
        ("assert: resource.sise == 1", "CTL003 [sise] `sise` is not a field of box (did you mean `size`?)"),
        (
            "assert: resource.items.all(i, i.wait > 1)",
            "CTL003 [wait] `wait` is not a field of box.items[] (it has weight)",
        ),
        ("assert: resorce.size == 1", "CTL003 [resorce] `resorce` is not defined (did you mean `resource`?)"),
        (
            "assert: resource.mode == \"bussy\"",
            "CTL003 [\"bussy\"] `bussy` is never the value of box.mode (did you mean `busy`?)",
        ),
        (
            "assert: resource.mode in [\"busy\", \"slow\"]",
            "CTL003 [\"slow\"] `slow` is never the value of box.mode (it is `idle` or `busy`)",
        ),
        ("assert: sise(resource.items) == 0", "CTL003 [sise] `sise` is no function (did you mean `size`?)"),
        ("assert: statements(resource.room).all(s, true)", "CTL003 [statements] box.room is no policy document (-)"),
        (
            "assert: statements(resource.policy).all(s, s.efect == \"Deny\")",
            "CTL003 [efect] `efect` is not a field of a policy statement (did you mean `effect`?)",
        ),
        ("assert: resource.name", "CTL003 [name] the expression is neither true nor false (-)"),
        ("assert: resources.boxx.all(b, true)", "CTL003 [boxx] `boxx` is not a kind (did you mean `box`?)"),
        ("assert: 1 == 1\nwith: { rooms: { kind: rom } }", "CTL004 [rom] `rom` is not a kind (did you mean `room`?)"),
        ("assert: 1 == 1\nwhere: x", "CTL001 [where"),
        ("assert: 1 == 1\nassert: 2 == 2", "CTL001 [assert] `assert` is first set here (remove one of the two)"),
        ("assert: [1", "CTL001 ["),
        ("assert: resource.size ==", "CTL002 []"),
    ] {
        let (checks, problems) = load(body);
        assert!(checks.is_empty(), "{body}");
        let first = problems.first().cloned().unwrap_or_default();
        let matches = first == expected || (!expected.ends_with(')') && first.starts_with(&expected[..6]));
        assert!(matches, "{body}\n  {first}\n  {expected}");
    }
}

#[test]
fn the_population_says_why_it_is_empty() {
    let body = "assert: resource.open == false";
    let empty = Case::of(Vec::new()).audit(body);
    assert_eq!(
        (empty.populations[0].state, empty.populations[0].note.as_deref()),
        (State::NotApplicable, Some("no box exists"))
    );
    let mut case = Case::of(Vec::new());
    case.problems.unlisted.insert("box".into(), "access denied: x:ListBoxes".into());
    let hidden = case.audit(body);
    assert_eq!(hidden.populations[0].state, State::Unknown);
    assert_eq!(hidden.controls[0].state, State::Unknown);
    assert_eq!(hidden.controls[0].reason, "box could not be listed: access denied: x:ListBoxes");
}

#[test]
fn the_worst_support_decides_and_waivers_end() {
    let body = "assert: resource.open == false";
    let boxes = |open: &[Value]| {
        let one = |(at, open): (usize, &Value)| thing("box", &format!("b{at}"), json!({ "name": "n", "open": open }));
        Case::of(open.iter().enumerate().map(one).collect())
    };
    let hidden = unreadable("denied");
    let waiver = |address: &str| Waiver {
        check: "c".into(),
        address: address.into(),
        reason: "r".into(),
        owner: "o".into(),
        expires: "2026-06-15".parse().unwrap(),
    };
    let state = |case: &Case| case.audit(body).controls[0].state;
    assert_eq!(state(&boxes(&[json!(false)])), State::Pass);
    assert_eq!(state(&boxes(&[json!(false), hidden.clone()])), State::Unknown);
    assert_eq!(state(&boxes(&[json!(true), hidden.clone()])), State::Fail);
    let mut waived = boxes(&[json!(true), json!(false)]);
    waived.waivers = Waivers(vec![waiver("box.b0")]);
    assert_eq!(state(&waived), State::Waived);
    waived.now = "2026-06-16T00:00:01Z";
    let audit = waived.audit(body);
    assert_eq!(audit.controls[0].state, State::Fail);
    assert_eq!(audit.idle_waivers[0].reason, "it has expired and does not count");
    let mut blind = boxes(&[hidden]);
    blind.waivers = Waivers(vec![waiver("*")]);
    assert_eq!(state(&blind), State::Unknown);
}

#[test]
fn people_and_records_answer_with_dates() {
    let mut case = Case::of(Vec::new());
    let states =
        |case: &Case| case.audit("assert: resource.open").controls.iter().map(|one| one.state).collect::<Vec<_>>();
    assert_eq!(states(&case), [State::NotApplicable, State::Unknown, State::Unknown]);
    let text = "attestations:\n- { control: A.3, statement: s, owner: o, evidence: [e], date: 2026-06-01, valid_until: 2027-06-01 }\n";
    let (attestations, problems) = Attestations::load(text, SourceId(0), &catalogue());
    assert!(problems.is_empty(), "{problems:?}");
    case.attestations = attestations;
    case.records = vec![RecordEvidence {
        kind: RecordKind::Drift,
        verdict: Verdict::Pass,
        summary: "no drift".into(),
        reference: "r".into(),
    }];
    assert_eq!(states(&case), [State::NotApplicable, State::Pass, State::Attested]);
    // The control's own bound of 30 days ends it before the date it names.
    case.now = "2026-07-02T00:00:00Z";
    assert_eq!(states(&case)[2], State::Unknown);
    let text = "exclusions:\n- { control: A.1, justification: no boxes here, owner: o, date: 2026-01-01 }\n";
    case.attestations = Attestations::load(text, SourceId(0), &catalogue()).0;
    assert_eq!(states(&case)[0], State::Excluded);
    for text in [
        "exclusions: [{ control: A.1, justification: \" \", owner: o, date: 2026-01-01 }]",
        "attestations: [{ control: A.1, statement: s, owner: o, evidence: [e], date: 2026-06-01, valid_until: 2026-06-02 }]",
        "attestations: [{ control: A.9, statement: s, owner: o, evidence: [e], date: 2026-06-01, valid_until: 2026-06-02 }]",
        "attestations: [{ control: A.3, statement: s, owner: o, evidence: [], date: 2026-06-01, valid_until: 2026-06-02 }]",
    ] {
        assert!(!Attestations::load(text, SourceId(0), &catalogue()).1.is_empty(), "{text}");
    }
}

#[test]
fn a_plan_is_told_by_what_it_repairs_and_breaks() {
    let body = "assert: resource.open == false";
    let boxed = |name: &str, open: Value| thing("box", name, json!({ "name": "n", "open": open }));
    let before =
        Case::of(vec![boxed("a", json!(true)), boxed("b", json!(false)), boxed("c", json!(false))]).audit(body);
    let after = Case::of(vec![boxed("a", json!(false)), boxed("b", json!(true)), boxed("c", json!(unknown("x.y.z")))])
        .audit(body);
    let diff = compliance_diff(&before, &after);
    let subjects = |changes: &[Change]| changes.iter().map(|change| change.subject.clone()).collect::<Vec<_>>();
    assert_eq!(subjects(&diff.repaired), ["box.a"]);
    assert_eq!(subjects(&diff.broken), ["box.b"]);
    assert_eq!(subjects(&diff.unknown), ["box.c"]);
    assert_eq!(ComplianceDiff::controls(&diff.broken), ["A.1"]);
    let rules: Gate = [(Severity::High, GateAction::Block)].into();
    let outcome = gate(&rules, &after);
    assert_eq!((outcome.blocked.len(), outcome.warned.len()), (1, 0));
    assert!(compliance_diff(&after, &after).is_empty());
}

#[test]
fn the_same_question_gives_the_same_bytes() {
    let case = Case::of(
        (0..20).map(|at| thing("box", &format!("b{at}"), json!({ "name": "n", "open": at % 3 == 0 }))).collect(),
    );
    let bytes = |case: &Case| serde_json::to_string(&case.audit("assert: resource.open == false")).unwrap();
    let first = bytes(&case);
    let mut turned = Case::of(case.resources.iter().rev().cloned().collect());
    turned.now = case.now;
    assert_eq!(first, bytes(&case));
    assert_eq!(first, bytes(&turned));
}
