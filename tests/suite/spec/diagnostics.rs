//! Each mistake, and the text a user reads of it.

use opora::spec::MemoryFiles;

use super::{HEADER, drawn, load_body, load_files};

/// Draws what is wrong with a document of the usual header and the given rest.
fn check(body: &str) -> String {
    let loaded = load_body(body);
    assert!(loaded.environment.is_none(), "an environment came out of a wrong spec");
    drawn(&loaded)
}

fn check_file(text: impl Into<Vec<u8>>) -> String {
    let loaded = load_files(&MemoryFiles::default().with("t.yaml", text), &[]);
    assert!(loaded.environment.is_none(), "an environment came out of a wrong spec");
    drawn(&loaded)
}

#[test]
fn unknown_names() {
    insta::assert_snapshot!(check("resources:\n  kms_keys:\n    a: {}\n  kms_key:\n    data:\n      rotation: { period_dayz: 90 }\nresorces: {}\n"), @r##"
    error[SPEC011]: unknown kind
       ╭─[t.yaml:6:3]
     6 │   kms_keys:
       ·   ────┬───
       ·       ╰── there is no kind `kms_keys`
       ╰────
      help: did you mean `kms_key`?

    error[SPEC012]: unknown argument
        ╭─[t.yaml:10:19]
     10 │       rotation: { period_dayz: 90 }
        ·                   ─────┬─────
        ·                        ╰── `period_dayz` is not an argument of kms_key.rotation
        ╰────
      help: did you mean `period_days`?

    error[SPEC016]: unknown field
        ╭─[t.yaml:11:1]
     11 │ resorces: {}
        · ────┬───
        ·     ╰── `resorces` is not a field of a spec
        ╰────
      help: did you mean `resources`?
    "##);
}

#[test]
fn wrong_types_and_values() {
    insta::assert_snapshot!(check("resources:\n  kms_key:\n    a: { description: 12, usage: encrpt, rotation: { period_days: 5 } }\n  vpc:\n    b: { cidr: 10.0.0.0/16, dns_hostnames: yes, tags: [x] }\n"), @r##"
    error[SPEC013]: wrong type
       ╭─[t.yaml:7:23]
     7 │     a: { description: 12, usage: encrpt, rotation: { period_days: 5 } }
       ·                       ─┬
       ·                        ╰── this is a number; kms_key.description is text
       ╰────
      help: put it in quotes: "12"

    error[SPEC015]: value not allowed
       ╭─[t.yaml:7:34]
     7 │     a: { description: 12, usage: encrpt, rotation: { period_days: 5 } }
       ·                                  ───┬──
       ·                                     ╰── `encrpt` is not a value of kms_key.usage
       ╰────
      help: did you mean `encrypt`?

    error[SPEC015]: value not allowed
       ╭─[t.yaml:7:67]
     7 │     a: { description: 12, usage: encrpt, rotation: { period_days: 5 } }
       ·                                                                   ┬
       ·                                                                   ╰── `5` lies outside what kms_key.rotation.period_days takes
       ╰────
      help: between 90 and 2560

    error[SPEC013]: wrong type
       ╭─[t.yaml:9:44]
     9 │     b: { cidr: 10.0.0.0/16, dns_hostnames: yes, tags: [x] }
       ·                                            ─┬─
       ·                                             ╰── this is text; vpc.dns_hostnames is true or false
       ╰────
      help: write `true`, without quotes

    error[SPEC013]: wrong type
       ╭─[t.yaml:9:49]
     9 │     b: { cidr: 10.0.0.0/16, dns_hostnames: yes, tags: [x] }
       ·                                                 ──┬─
       ·                                                   ╰── this is a list; vpc.tags is a map of text
       ╰────
      help: write a map of `name: value`
    "##);
}

#[test]
fn missing_argument() {
    insta::assert_snapshot!(check("resources:\n  vpc:\n    b: {}\n    c:\n  subnet:\n    d: { vpc: x, cidr: 10.0.0.0/24 }\n"), @r##"
    error[SPEC014]: missing argument
       ╭─[t.yaml:7:8]
     7 │     b: {}
       ·        ─┬
       ·         ╰── vpc needs `cidr`
       ╰────
      help: add `cidr:` (text)

    error[SPEC014]: missing argument
       ╭─[t.yaml:8:6]
     8 │     c:
       ·      ▲
       ·      ╰── vpc needs `cidr`
       ╰────
      help: add `cidr:` (text)

    error[SPEC014]: missing argument
        ╭─[t.yaml:10:10]
     10 │     d: { vpc: x, cidr: 10.0.0.0/24 }
        ·          ─┬─
        ·           ╰── subnet needs `zone`
        ╰────
      help: add `zone:` (text)
    "##);
}

#[test]
fn duplicate_key() {
    insta::assert_snapshot!(check("tags: { a: x }\nresources:\n  vpc:\n    b: { cidr: 10.0.0.0/16 }\n    b: { cidr: 10.1.0.0/16 }\n"), @r##"
    error[SPEC006]: duplicate key
       ╭─[t.yaml:8:5]
     8 │     b: { cidr: 10.0.0.0/16 }
       ·     ┬
       ·     ╰── `b` is first set here
     9 │     b: { cidr: 10.1.0.0/16 }
       ·     ┬
       ·     ╰── and again here
       ╰────
      help: remove one of the two
    "##);
}

#[test]
fn dangling_references() {
    insta::assert_snapshot!(check("inputs: { zones: { type: list, default: [a] } }\nresources:\n  vpc:\n    main: { cidr: 10.0.0.0/16 }\n  subnet:\n    p:\n      for_each: $(inputs.zone)\n      vpc: $(vpc.mian.id)\n      zone: $(each.name)\n      cidr: $(vpc.main.cdir)\n  iam_role:\n    r: { name: $(main.id), boundary: $(data.arn) }\noutputs:\n  a: $(subnet.p.id)\n  b: $(vpc.main[\"x\"].id)\n  c: $(each.key)\n  d: $(module.net.id)\n  e: $(vpc.main)\n"), @r##"
    error[SPEC030]: dangling reference
        ╭─[t.yaml:11:26]
     11 │       for_each: $(inputs.zone)
        ·                          ──┬─
        ·                            ╰── there is no input `zone`
        ╰────
      help: did you mean `zones`?

    error[SPEC030]: dangling reference
        ╭─[t.yaml:12:14]
     12 │       vpc: $(vpc.mian.id)
        ·              ────┬───
        ·                  ╰── there is no resource `vpc.mian`
        ╰────
      help: did you mean `vpc.main`?

    error[SPEC030]: dangling reference
        ╭─[t.yaml:13:20]
     13 │       zone: $(each.name)
        ·                    ──┬─
        ·                      ╰── `each` has no `name`
        ╰────
      help: one of `key`, `value`, `index`

    error[SPEC030]: dangling reference
        ╭─[t.yaml:14:24]
     14 │       cidr: $(vpc.main.cdir)
        ·                        ──┬─
        ·                          ╰── `vpc.main` has no `cdir`
        ╰────
      help: did you mean `cidr`?

    error[SPEC030]: undefined name
        ╭─[t.yaml:16:18]
     16 │     r: { name: $(main.id), boundary: $(data.arn) }
        ·                  ──┬─
        ·                    ╰── `main` is not defined
        ╰────
      help: did you mean `vpc.main`?

    error[SPEC030]: undefined name
        ╭─[t.yaml:16:40]
     16 │     r: { name: $(main.id), boundary: $(data.arn) }
        ·                                        ──┬─
        ·                                          ╰── `data` is not defined
        ╰────
      help: expressions see account, region, environment, partition, inputs, each, module and the kinds

    error[SPEC035]: for_each key expected
        ╭─[t.yaml:18:17]
     18 │   a: $(subnet.p.id)
        ·                 ─┬
        ·                  ╰── `subnet.p` has `for_each`, so it is several resources
        ╰────
      help: name one: `subnet.p["key"].id`

    error[SPEC035]: no for_each key expected
        ╭─[t.yaml:19:17]
     19 │   b: $(vpc.main["x"].id)
        ·                 ─┬─
        ·                  ╰── `vpc.main` has no `for_each`
        ╰────
      help: write `vpc.main`

    error[SPEC030]: dangling reference
        ╭─[t.yaml:20:8]
     20 │   c: $(each.key)
        ·        ────┬───
        ·            ╰── `each` stands only in a resource with `for_each`
        ╰────
      help: give the resource a `for_each`, or name the value itself

    error[SPEC030]: dangling reference
        ╭─[t.yaml:21:15]
     21 │   d: $(module.net.id)
        ·               ─┬─
        ·                ╰── there is no module `net`
        ╰────
      help: add it under `modules:`

    error[SPEC030]: dangling reference
        ╭─[t.yaml:22:8]
     22 │   e: $(vpc.main)
        ·        ────┬───
        ·            ╰── a resource is not a value
        ╰────
      help: name what you need of it: `vpc.main.arn`
    "##);
}

#[test]
fn reference_cycle() {
    insta::assert_snapshot!(check("resources:\n  kms_key:\n    data:\n      description: $(iam_role.trainer.arn)\n  iam_role:\n    trainer:\n      policies: [$(kms_key.data.arn)]\n"), @r##"
    error[SPEC031]: reference cycle
      iam_role.trainer.policies[0] → kms_key.data.description → iam_role.trainer
        ╭─[t.yaml:11:20]
      8 │       description: $(iam_role.trainer.arn)
        ·                      ──────────┬─────────
        ·                                ╰── kms_key.data.description needs iam_role.trainer
        ⋮
     11 │       policies: [$(kms_key.data.arn)]
        ·                    ────────┬───────
        ·                            ╰── iam_role.trainer.policies[0] needs kms_key.data
        ╰────
      help: move the statement that closes the cycle into an iam_policy of its own
    "##);
}

#[test]
fn networks() {
    insta::assert_snapshot!(check("resources:\n  vpc:\n    main: { cidr: 10.0.0.1/16 }\n    good: { cidr: 10.0.0.0/16 }\n  subnet:\n    a: { vpc: $(vpc.good.id), zone: a, cidr: 10.0.0.0/20 }\n    b: { vpc: $(vpc.good.id), zone: b, cidr: 10.0.8.0/21 }\n    c: { vpc: $(vpc.good.id), zone: c, cidr: 10.1.0.0/20 }\n    d: { vpc: $(vpc.good.id), zone: c, cidr: 10.0/20 }\n"), @r##"
    error[SPEC040]: CIDR not valid
       ╭─[t.yaml:7:19]
     7 │     main: { cidr: 10.0.0.1/16 }
       ·                   ─────┬─────
       ·                        ╰── `10.0.0.1` has bits set past the first 16
       ╰────
      help: write `10.0.0.0/16`

    error[SPEC041]: networks overlap
        ╭─[t.yaml:11:46]
     10 │     a: { vpc: $(vpc.good.id), zone: a, cidr: 10.0.0.0/20 }
        ·                                              ─────┬─────
        ·                                                   ╰── `10.0.0.0/20` of subnet.a
     11 │     b: { vpc: $(vpc.good.id), zone: b, cidr: 10.0.8.0/21 }
        ·                                              ─────┬─────
        ·                                                   ╰── `10.0.8.0/21` of subnet.b overlaps `10.0.0.0/20` of subnet.a
        ╰────
      help: give each its own range; `subnet(prefix=…, index=each.index)` does

    error[SPEC042]: network outside its parent
        ╭─[t.yaml:12:46]
      8 │     good: { cidr: 10.0.0.0/16 }
        ·                   ─────┬─────
        ·                        ╰── vpc.good is `10.0.0.0/16`
        ⋮
     12 │     c: { vpc: $(vpc.good.id), zone: c, cidr: 10.1.0.0/20 }
        ·                                              ─────┬─────
        ·                                                   ╰── `10.1.0.0/20` of subnet.c is not inside vpc.good
        ╰────
      help: cut it from the parent: `$(vpc.good.cidr | subnet(prefix=20, index=0))`

    error[SPEC040]: CIDR not valid
        ╭─[t.yaml:13:46]
     13 │     d: { vpc: $(vpc.good.id), zone: c, cidr: 10.0/20 }
        ·                                              ───┬───
        ·                                                 ╰── `10.0/20` is not a CIDR
        ╰────
      help: write a network such as 10.0.0.0/16
    "##);
}

/// A reference is the same thing wherever it stands; the value of an expression may be another in each resource.
#[test]
fn what_only_one_can_have() {
    insta::assert_snapshot!(check("resources:\n  kms_key:\n    a: { alias: data }\n    b: { alias: logs }\n    c: { alias: data }\n    d: { alias: $(kms_key.a.arn) }\n    e: { alias: $(kms_key.a.arn) }\n    f: { alias: \"$(kms_key.a.arn | upper)\" }\n    g: { alias: \"$(kms_key.b.arn | upper)\" }\n"), @r##"
    error[SPEC046]: two resources have what only one can have
       ╭─[t.yaml:9:17]
     7 │     a: { alias: data }
       ·                 ──┬─
       ·                   ╰── `data` of kms_key.a
       ⋮
     9 │     c: { alias: data }
       ·                 ──┬─
       ·                   ╰── `data` of kms_key.c is also `data` of kms_key.a
       ╰────
      help: leave one of them out, or give each its own

    error[SPEC046]: two resources have what only one can have
        ╭─[t.yaml:11:17]
     10 │     d: { alias: $(kms_key.a.arn) }
        ·                 ────────┬───────
        ·                         ╰── `alias` of kms_key.d
     11 │     e: { alias: $(kms_key.a.arn) }
        ·                 ────────┬───────
        ·                         ╰── `alias` of kms_key.e is also `alias` of kms_key.d
        ╰────
      help: leave one of them out, or give each its own
    "##);
}

#[test]
fn arns_and_policies() {
    insta::assert_snapshot!(check("resources:\n  iam_role:\n    r: { boundary: 'arn:aws:iam::1234:policy/x' }\n  kms_key:\n    a: { policy: '{\"Version\": ' }\n    b: { policy: { Version: \"2012-10-17\", Statement: [{ Effect: Alow, Action: '*' }] } }\n"), @r##"
    error[SPEC043]: ARN not valid
       ╭─[t.yaml:7:20]
     7 │     r: { boundary: 'arn:aws:iam::1234:policy/x' }
       ·                    ──────────────┬─────────────
       ·                                  ╰── `1234` is not an account id of 12 digits
       ╰────
      help: an ARN is `arn:partition:service:region:account:resource`

    error[SPEC044]: policy document not valid
       ╭─[t.yaml:9:18]
     9 │     a: { policy: '{"Version": ' }
       ·                  ───────┬──────
       ·                         ╰── the text is not JSON: EOF while parsing a value at line 1 column 12
       ╰────
      help: a document has `Version: "2012-10-17"` and `Statement: […]`

    error[SPEC044]: policy document not valid
        ╭─[t.yaml:10:57]
     10 │ …: "2012-10-17", Statement: [{ Effect: Alow, Action: '*' }] } }
        ·                                ───┬──
        ·                                   ╰── statement 1 has no `Resource`
        ╰────
      help: add the ARNs it is about, or `Principal` in a trust policy

    error[SPEC044]: policy document not valid
        ╭─[t.yaml:10:65]
     10 │ …10-17", Statement: [{ Effect: Alow, Action: '*' }] } }
        ·                                ──┬─
        ·                                  ╰── `Alow` is not an effect (statement 1)
        ╰────
      help: did you mean `Allow`?
    "##);
}

#[test]
fn yaml_problems() {
    insta::assert_snapshot!(check_file(""), @r##"
    error[SPEC003]: file is empty
       ╭─[t.yaml:1:1]
       ╰────
      help: `opora init` writes a starter spec
    "##);
    insta::assert_snapshot!(check_file("# nothing\n"), @r##"
    error[SPEC003]: file is empty
       ╭─[t.yaml:1:1]
     1 │ # nothing
       · ▲
       · ╰── nothing but white space and comments
       ╰────
      help: `opora init` writes a starter spec
    "##);
    insta::assert_snapshot!(check_file(&b"opora: 1\nenvironment: \xff\n"[..]), @r##"
    error[SPEC002]: file is not UTF-8
       ╭─[t.yaml:2:14]
     2 │ environment: �
       ·              ┬
       ·              ╰── byte 0xff starts no character
       ╰────
      help: save the file as UTF-8
    "##);
    insta::assert_snapshot!(check_file("opora: 1\nresources:\n\tvpc:\n\t\tmain: {}\n"), @r##"
    error[SPEC005]: tab in indentation
       ╭─[t.yaml:3:1]
     3 │     vpc:
       · ──┬─
       ·   ╰── YAML indents with spaces only
       ╰────
      help: replace the tab by two spaces

    error[SPEC005]: tab in indentation
       ╭─[t.yaml:4:1]
     4 │         main: {}
       · ────┬───
       ·     ╰── YAML indents with spaces only
       ╰────
      help: replace the tab by two spaces
    "##);
    insta::assert_snapshot!(check_file("opora: 1\nresources: {vpc: {main: {cidr: [}}}\n"), @r##"
    error[SPEC004]: YAML syntax error
       ╭─[t.yaml:2:32]
     2 │ resources: {vpc: {main: {cidr: [}}}
       ·                                ┬
       ·                                ╰── mismatched bracket '[' closed by '}'
       ╰────
      help: look at the line above too: a missing `:`, quote or bracket shows only here
    "##);
    insta::assert_snapshot!(check_file("a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\nf: [*e, *e, *e]\n"), @r##"
    error[SPEC007]: aliases make the file too large
       ╭─[t.yaml:5:36]
     5 │ e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]
       ·                                    ─┬
       ·                                     ╰── by here the aliases stand for more than 100000 values, or nest too deep
       ╰────
      help: write the values out, or use `for_each` or a module
    "##);
}

#[test]
fn values_that_readers_take_differently() {
    insta::assert_snapshot!(check_file("opora: 1\nenvironment: on\naccount: 012345678901\nregion: us-east-1\n1: x\n<<: {}\n---\nopora: 1\n"), @r##"
    warning[SPEC010]: value that YAML readers take differently
       ╭─[t.yaml:2:14]
     2 │ environment: on
       ·              ─┬
       ·               ╰── `on` is text here, and `true` to YAML 1.1
       ╰────
      help: write `true`, or "on" in quotes for the text

    error[SPEC010]: value that YAML readers take differently
       ╭─[t.yaml:3:10]
     3 │ account: 012345678901
       ·          ──────┬─────
       ·                ╰── `012345678901` would lose its leading zero, or be read as octal
       ╰────
      help: put it in quotes: "012345678901"

    error[SPEC009]: key is not text
       ╭─[t.yaml:5:1]
     5 │ 1: x
       · ┬
       · ╰── this key is a number
       ╰────
      help: put the key in quotes

    error[SPEC010]: value that YAML readers take differently
       ╭─[t.yaml:6:1]
     6 │ <<: {}
       · ─┬
       ·  ╰── `<<` merges maps in YAML 1.1 only
       ╰────
      help: write the entries out, or make a module of what is shared

    error[SPEC008]: more than one document
       ╭─[t.yaml:7:1]
     7 │ ---
       · ─┬─
       ·  ╰── a second document starts here
       ╰────
      help: put each environment in a file of its own
    "##);
    insta::assert_snapshot!(check_file("opora: 2\nenvironment: Prod\naccount: 123456789012\nregion: mars\n"), @r##"
    error[SPEC019]: value not allowed here
       ╭─[t.yaml:1:8]
     1 │ opora: 2
       ·        ┬
       ·        ╰── this opora reads version 1 of the language
       ╰────
      help: write `opora: 1`

    error[SPEC019]: value not allowed here
       ╭─[t.yaml:2:14]
     2 │ environment: Prod
       ·              ──┬─
       ·                ╰── `Prod` can't name an environment
       ╰────
      help: lower-case letters, digits and `-`, a letter first, 32 characters at most

    error[SPEC019]: value not allowed here
       ╭─[t.yaml:3:10]
     3 │ account: 123456789012
       ·          ──────┬─────
       ·                ╰── an account id is text: as a number it would lose leading zeros
       ╰────
      help: put it in quotes: "123456789012"

    error[SPEC019]: value not allowed here
       ╭─[t.yaml:4:9]
     4 │ region: mars
       ·         ──┬─
       ·           ╰── `mars` is not a region
       ╰────
      help: write a region such as us-east-1
    "##);
}

#[test]
fn expressions() {
    insta::assert_snapshot!(check("resources:\n  kms_key:\n    a: { description: $(inputs.x }\n    b: { description: \"$(1 +)\" }\n    c: { description: \"x-$([1,2])\" }\n    d: { description: \"$('10.0.0.0/16' | subnet(prefix=8, index=0))\" }\n    e: { policy: $(policy(\"none\")) }\n    f: { policy: $(policy(\"none\", a=1)) }\n"), @r##"
    error[SPEC032]: expression can't be read
       ╭─[t.yaml:7:23]
     7 │     a: { description: $(inputs.x }
       ·                       ─────┬────
       ·                            ╰── this `$(` has no closing `)`
       ╰────
      help: close it, or write `$$(` for the two characters themselves

    error[SPEC032]: expression can't be read
       ╭─[t.yaml:8:26]
     8 │     b: { description: "$(1 +)" }
       ·                          ─┬─
       ·                           ╰── unexpected end of input, expected expression
       ╰────
      help: expressions are written as in Jinja: `inputs.x | upper`, `a ~ b`, `f(x, y=1)`

    error[SPEC033]: expression failed
       ╭─[t.yaml:9:23]
     9 │     c: { description: "x-$([1,2])" }
       ·                       ──────┬─────
       ·                             ╰── a list can't stand inside a text; use `| join(",")` or `| tojson`
       ╰────

    error[SPEC033]: expression failed
        ╭─[t.yaml:10:26]
     10 │     d: { description: "$('10.0.0.0/16' | subnet(prefix=8, index=0))" }
        ·                          ────────────────────┬────────────────────
        ·                                              ╰── prefix=8 lies outside 16..=32 of 10.0.0.0/16
        ╰────

    error[SPEC033]: expression failed
        ╭─[t.yaml:11:20]
     11 │     e: { policy: $(policy("none")) }
        ·                    ───────┬──────
        ·                           ╰── there is no policy fragment policies/none.json beside the spec
        ╰────

    error[SPEC032]: expression can't be read
        ╭─[t.yaml:12:18]
     12 │     f: { policy: $(policy("none", a=1)) }
        ·                  ───────┬───────
        ·                         ╰── this `$(` has no closing `)`
        ╰────
      help: put it in quotes: in `{ … }` and `[ … ]` a comma or bracket ends an unquoted text

    error[SPEC012]: unknown argument
        ╭─[t.yaml:12:35]
     12 │     f: { policy: $(policy("none", a=1)) }
        ·                                   ──┬──
        ·                                     ╰── `a=1))` is not an argument of kms_key
        ╰────
      help: one of `description`, `alias`, `rotation`, `policy`, `usage`, `tags`
    "##);
}

#[test]
fn inputs() {
    let text = format!(
        "{HEADER}inputs:\n  n: {{ type: integer, min: 1, max: 4, default: 9 }}\n  z: {{ type: strin }}\n  q: {{}}\n  t: {{ one_of: [a, b] }}\n"
    );
    let loaded = load_files(&MemoryFiles::default().with("t.yaml", text), &[("t", "c"), ("tt", "c")]);
    insta::assert_snapshot!(drawn(&loaded), @r##"
    error[SPEC022]: unknown input
      `--input tt`: the spec declares no such input
      help: did you mean `t`?

    error[SPEC020]: input value not allowed
       ╭─[t.yaml:6:48]
     6 │   n: { type: integer, min: 1, max: 4, default: 9 }
       ·                                                ┬
       ·                                                ╰── `9` is above the most, 4
       ╰────

    error[SPEC019]: value not allowed here
       ╭─[t.yaml:7:14]
     7 │   z: { type: strin }
       ·              ──┬──
       ·                ╰── this is not a type of inputs
       ╰────
      help: did you mean `string`?

    error[SPEC021]: input without a value
       ╭─[t.yaml:8:3]
     8 │   q: {}
       ·   ┬
       ·   ╰── `q` has no default
       ╰────
      help: give it one, or call with `--input q=…`

    error[SPEC020]: input value not allowed
       ╭─[t.yaml:9:3]
     9 │   t: { one_of: [a, b] }
       ·   ┬
       ·   ╰── --input t=c: `c` is none of `a`, `b`
       ╰────
    "##);
}

#[test]
fn for_each() {
    insta::assert_snapshot!(check("resources:\n  vpc:\n    a: { for_each: [a, a], cidr: 10.0.0.0/16 }\n    b: { for_each: $(kms_key.k.arn), cidr: 10.0.0.0/16 }\n    c: { for_each: { x: 1 }, cidr: 10.0.0.0/16 }\n  kms_key:\n    k: { description: '$(vpc.c[\"y\"].id)' }\n"), @r##"
error[SPEC034]: for_each can't be expanded
   ╭─[t.yaml:7:20]
 7 │     a: { for_each: [a, a], cidr: 10.0.0.0/16 }
   ·                    ───┬──
   ·                       ╰── the key `a` is empty or stands twice
   ╰────
  help: each resource needs a key of its own

error[SPEC034]: for_each can't be expanded
   ╭─[t.yaml:8:20]
 8 │     b: { for_each: $(kms_key.k.arn), cidr: 10.0.0.0/16 }
   ·                    ────────┬───────
   ·                            ╰── its value is known only after apply
   ╰────
  help: take the keys from an input or write them here; what AWS sets is known only after apply

error[SPEC035]: no such for_each key
    ╭─[t.yaml:11:32]
 11 │     k: { description: '$(vpc.c["y"].id)' }
    ·                                ─┬─
    ·                                 ╰── `vpc.c` has no key `y`
    ╰────
  help: did you mean `x`?
"##);
}

#[test]
fn modules() {
    let files = MemoryFiles::default()
        .with("t.yaml", format!("{HEADER}modules:\n  a: {{ use: net, with: {{ cird: x }} }}\n  b: {{ use: nett }}\n  c: {{ use: loop }}\noutputs:\n  x: $(module.a.idd)\n"))
        .with("templates/net.yaml", "inputs: { cidr: {} }\nresources: { vpc: { main: { cidr: $(inputs.cidr), dns: true } } }\noutputs: { id: $(vpc.main.id) }\n")
        .with("templates/loop.yaml", "modules: { again: { use: loop } }\n");
    insta::assert_snapshot!(drawn(&load_files(&files, &[])), @r##"
    error[SPEC021]: input without a value
       ╭─[t.yaml:6:3]
     6 │   a: { use: net, with: { cird: x } }
       ·   ┬
       ·   ╰── `cidr` of `net` has no value
       ╰────
       ╭─[templates/net.yaml:1:11]
     1 │ inputs: { cidr: {} }
       ·           ──┬─
       ·             ╰── declared here without a default
       ╰────
      help: add `cidr` under `with:`

    error[SPEC022]: unknown input
       ╭─[t.yaml:6:26]
     6 │   a: { use: net, with: { cird: x } }
       ·                          ──┬─
       ·                            ╰── `cird` is not an input of `net`
       ╰────
      help: did you mean `cidr`?

    error[SPEC023]: module not found
       ╭─[t.yaml:7:13]
     7 │   b: { use: nett }
       ·             ──┬─
       ·               ╰── there is no templates/nett/module.yaml or templates/nett.yaml
       ╰────
      help: one of `landing-zone`, `ultracluster`

    error[SPEC030]: dangling reference
        ╭─[t.yaml:10:17]
     10 │   x: $(module.a.idd)
        ·                 ─┬─
        ·                  ╰── module `a` has no output `idd`
        ╰────
      help: did you mean `id`?

    error[SPEC012]: unknown argument
       ╭─[templates/net.yaml:2:51]
     2 │ resources: { vpc: { main: { cidr: $(inputs.cidr), dns: true } } }
       ·                                                   ─┬─
       ·                                                    ╰── `dns` is not an argument of vpc
       ╰────
      help: one of `cidr`, `dns_hostnames`, `tags`

    error[SPEC024]: module uses itself
      loop → loop
       ╭─[templates/loop.yaml:1:26]
     1 │ modules: { again: { use: loop } }
       ·                          ──┬─
       ·                            ╰── `loop` is being expanded already
       ╰────
      help: take the resources that both need into a module of their own
    "##);
}
