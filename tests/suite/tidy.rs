//! What must hold of the source tree itself: direction of the modules, pages for codes and kinds, sizes, names.
//!
//! The rules of the modules are those that ARCHITECTURE.md states: this reads its tables, so that neither can
//! change without the other. `OPORA_BLESS=1` writes the generated pages of the kinds anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use opora::aws::kinds;
use opora::docs;
use regex::Regex;

/// The longest a file may be, in lines.
const LINES_MAX: usize = 600;

/// Files that are longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[("tests/suite/spec/diagnostics.rs", "a list of drawn diagnostics")];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every file below a folder of the repository, as its path from the root, in order.
fn files(below: &str) -> Vec<String> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, out) } else { out.push(path) }
        }
    }
    let mut out = Vec::new();
    walk(&root().join(below), &mut out);
    let name = |path: PathBuf| path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
    let mut out: Vec<String> = out.into_iter().map(name).collect();
    out.sort();
    out
}

fn rust_files(below: &str) -> Vec<String> {
    files(below).into_iter().filter(|name| name.ends_with(".rs")).collect()
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Returns the lines of code: comments are left out.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Returns the module of a file: `src/aws/tags.rs` and `src/value.rs` are of `aws` and `value`.
fn module(name: &str) -> &str {
    let rest = name.strip_prefix("src/").unwrap();
    rest.split(['/', '.']).next().unwrap()
}

fn none(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// One row of the table of modules.
struct Rule {
    pure: bool,
    /// `None` where it may use everything.
    uses: Option<BTreeSet<String>>,
}

/// Reads the table of modules in ARCHITECTURE.md: `| `module` | pure | uses | holds |`.
fn rules() -> BTreeMap<String, Rule> {
    let text = read("ARCHITECTURE.md");
    let name = Regex::new("`([a-z_]+)`").unwrap();
    let names =
        |cell: &str| -> BTreeSet<String> { name.captures_iter(cell).map(|found| found[1].to_owned()).collect() };
    let table = text.split_once("<!-- modules -->").expect("the table of modules begins").1;
    let table = table.split_once("<!-- end -->").expect("the table of modules ends").0;
    let mut out = BTreeMap::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let uses = (cells[3] != "everything").then(|| names(cells[3]));
        for module in names(cells[1]) {
            let rule = Rule { pure: cells[2] == "pure", uses: uses.clone() };
            assert!(out.insert(module, rule).is_none(), "a module has one row: {row}");
        }
    }
    out
}

/// Returns what each module uses, with the places where it does.
fn arrows() -> BTreeMap<(String, String), Vec<String>> {
    let direct = Regex::new(r"\bcrate::([a-z_]+)").unwrap();
    let grouped = Regex::new(r"\bcrate::\{").unwrap();
    let mut out: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for name in rust_files("src") {
        for (line, text) in code(&read(&name)) {
            assert!(!grouped.is_match(text), "{name}:{line}: one `use crate::…` line for each module");
            for found in direct.captures_iter(text) {
                if found[1] != *module(&name) {
                    let arrow = (module(&name).to_owned(), found[1].to_owned());
                    out.entry(arrow).or_default().push(format!("{name}:{line}"));
                }
            }
        }
    }
    out
}

#[test]
fn modules_depend_only_as_the_architecture_says() {
    let (rules, arrows) = (rules(), arrows());
    let mut problems = Vec::new();
    for ((from, to), places) in &arrows {
        // The crate's root is the binary's entrance and has no row.
        let Some(rule) = rules.get(from) else {
            problems.push(format!("`{from}` has no row in ARCHITECTURE.md"));
            continue;
        };
        if rule.uses.as_ref().is_some_and(|uses| !uses.contains(to)) {
            problems.push(format!("`{from}` may not use `{to}`: {}", places.join(", ")));
        }
    }
    for (from, rule) in &rules {
        for to in rule.uses.iter().flatten() {
            if !arrows.contains_key(&(from.clone(), to.clone())) {
                problems.push(format!("ARCHITECTURE.md lets `{from}` use `{to}`, and it does not"));
            }
        }
    }
    none(&problems);
}

#[test]
fn every_module_has_its_row() {
    let declared = Regex::new(r"^pub mod ([a-z_]+);").unwrap();
    let lib = read("src/lib.rs");
    let modules: BTreeSet<String> =
        lib.lines().filter_map(|line| Some(declared.captures(line)?[1].to_owned())).collect();
    assert_eq!(modules, rules().into_keys().collect());
}

#[test]
fn pure_modules_stay_pure() {
    let rules = rules();
    let effects = Regex::new(concat!(
        r"\b(std::env::|std::fs::|std::net::Tcp|std::process::|std::thread::|std::time::|tokio::|object_store::|",
        r"aws_sdk_|aws_config|SystemTime|Instant::|Timestamp::now|HashMap|HashSet|getrandom)"
    ))
    .unwrap();
    // The one door of the spec to the disk, behind a trait.
    let doors = ["src/spec/files.rs"];
    let mut problems = Vec::new();
    for name in rust_files("src") {
        if !rules.get(module(&name)).is_some_and(|rule| rule.pure) || doors.contains(&name.as_str()) {
            continue;
        }
        for (line, text) in code(&read(&name)) {
            if let Some(found) = effects.find(text) {
                problems.push(format!("{name}:{line}: `{}` in a pure module", found.as_str()));
            }
        }
    }
    none(&problems);
    // Purity is inherited: what a pure module uses has to be pure too.
    for (name, rule) in rules.iter().filter(|(_, rule)| rule.pure) {
        for used in rule.uses.iter().flatten() {
            assert!(rules[used].pure, "`{name}` is pure and uses `{used}`, which is not");
        }
    }
}

#[test]
fn only_the_seam_names_an_sdk_and_only_the_command_line_prints() {
    let print = Regex::new(r"\be?print(ln)?!").unwrap();
    let mut problems = Vec::new();
    for name in rust_files("src") {
        let may_call = name.starts_with("src/aws/") || name.starts_with("src/jobs/engines/");
        let may_print = name.starts_with("src/cli/");
        for (line, text) in code(&read(&name)) {
            if !may_call && text.contains("aws_sdk_") {
                problems.push(format!("{name}:{line}: names an SDK crate"));
            }
            if !may_print && print.is_match(text) {
                problems.push(format!("{name}:{line}: prints"));
            }
        }
    }
    none(&problems);
}

#[test]
fn every_file_says_what_it_is() {
    let names = ["src", "tests/suite"].into_iter().flat_map(rust_files).chain(["build.rs".to_owned()]);
    let silent: Vec<String> = names.filter(|name| !read(name).starts_with("//! ")).collect();
    none(&silent);
}

#[test]
fn files_are_short_or_say_why_not() {
    let long: BTreeMap<String, usize> = ["src", "tests/suite"]
        .into_iter()
        .flat_map(rust_files)
        .map(|name| (name.clone(), read(&name).lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .collect();
    let excused: BTreeSet<&str> = LONG_FILES.iter().map(|(name, _)| *name).collect();
    let too_long: Vec<String> = long
        .iter()
        .filter(|(name, _)| !excused.contains(name.as_str()))
        .map(|(name, lines)| format!("{name} has {lines} lines: split it, or give a reason in LONG_FILES"))
        .collect();
    none(&too_long);
    let needless: Vec<String> =
        excused.iter().filter(|name| !long.contains_key(**name)).map(|n| (*n).to_owned()).collect();
    assert_eq!(needless, Vec::<String>::new(), "these are short enough now: take them out of LONG_FILES");
}

/// Returns the codes of diagnostics that the sources name, with the places.
fn codes_in_use() -> BTreeMap<String, Vec<String>> {
    // Names of algorithms have the same form.
    let algorithms = ["AES256", "AES128", "SHA256", "SHA384", "SHA512", "MD5"];
    let code_text = Regex::new(r#""([A-Z]+[0-9]{3})""#).unwrap();
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // The sandbox speaks AWS's language and has no diagnostics.
    for name in rust_files("src").into_iter().filter(|name| !name.starts_with("src/sandbox/")) {
        for (line, text) in code(&read(&name)) {
            for found in code_text.captures_iter(text).filter(|found| !algorithms.contains(&&found[1])) {
                out.entry(found[1].to_owned()).or_default().push(format!("{name}:{line}"));
            }
        }
    }
    out
}

#[test]
fn every_code_has_its_page_and_every_page_its_code() {
    let (codes, pages) = (codes_in_use(), docs::error_pages());
    let mut problems = Vec::new();
    for (code, places) in &codes {
        if !pages.contains_key(code.as_str()) {
            problems.push(format!("{code} has no page docs/errors/{code}.md ({})", places.join(", ")));
        }
    }
    for (code, page) in pages {
        if !codes.contains_key(code) {
            problems.push(format!("docs/errors/{code}.md: no source names {code}"));
        }
        if !page.starts_with(&format!("# {code}: ")) || !page.contains("\n## What to do\n") {
            problems.push(format!("docs/errors/{code}.md: wants `# {code}: …` first, and `## What to do`"));
        }
    }
    none(&problems);
}

/// Returns the pages that are made from the sources: one for each kind, their index, and the sandbox's operations.
fn generated_pages() -> BTreeMap<String, String> {
    let mut index =
        "# Kinds\n\nMade from the kinds' own doc comments; `opora explain KIND` prints the same.\n\n".to_owned();
    let mut out = BTreeMap::new();
    for kind in kinds::schemas().iter() {
        let first = kind.arguments.description().lines().next().unwrap_or_default().to_owned();
        writeln!(index, "- [{0}]({0}.md): {first}", kind.name).unwrap();
        out.insert(format!("docs/kinds/{}.md", kind.name), docs::kind_page(kind));
    }
    out.insert("docs/kinds/README.md".to_owned(), index);
    out.insert("docs/sandbox-operations.md".to_owned(), operations_page());
    out
}

/// Lists what the tables of the sandbox's services hold.
fn operations_page() -> String {
    let table = Regex::new(r"(?s)OPERATIONS: Operations =\s*&\[(.*?)\];").unwrap();
    let row = Regex::new(r#"\(\s*"([A-Z][A-Za-z0-9]+)","#).unwrap();
    let mut services: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in rust_files("src/sandbox/services") {
        let service = name["src/sandbox/services/".len()..].split(['/', '.']).next().unwrap().to_owned();
        let text = read(&name);
        let rows = table.captures_iter(&text).flat_map(|found| row.captures_iter(found.get(1).unwrap().as_str()));
        services.entry(service).or_default().extend(rows.map(|found| found[1].to_owned()));
    }
    let mut page =
        "# What the sandbox implements\n\nMade from the tables of its services. Every other operation answers \
        `NotImplementedBySandbox` with its name.\n"
            .to_owned();
    for (service, operations) in services.iter().filter(|(_, operations)| !operations.is_empty()) {
        write!(page, "\n## {service} ({})\n\n", operations.len()).unwrap();
        let all: Vec<&str> = operations.iter().map(String::as_str).collect();
        writeln!(page, "{}", all.join(", ")).unwrap();
    }
    page
}

#[test]
fn generated_pages_are_those_that_the_sources_make() {
    let wanted = generated_pages();
    if std::env::var_os("OPORA_BLESS").is_some() {
        std::fs::create_dir_all(root().join("docs/kinds")).unwrap();
        for name in files("docs/kinds").iter().filter(|name| !wanted.contains_key(*name)) {
            std::fs::remove_file(root().join(name)).unwrap();
        }
        for (name, text) in &wanted {
            std::fs::write(root().join(name), text).unwrap();
        }
    }
    let there: BTreeSet<String> = files("docs").into_iter().collect();
    let stale: Vec<String> = wanted
        .iter()
        .filter(|(name, text)| !there.contains(*name) || read(name) != **text)
        .map(|(name, _)| name)
        .chain(there.iter().filter(|name| name.starts_with("docs/kinds/") && !wanted.contains_key(*name)))
        .map(|name| format!("{name}: run `OPORA_BLESS=1 cargo test generated_pages` and commit it"))
        .collect();
    none(&stale);
}

/// Returns the Markdown of the repository: what stands at its top, and docs/.
fn documents() -> Vec<String> {
    let top = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let top = top.filter(|name| name.ends_with(".md"));
    let mut out: Vec<String> = top.chain(files("docs").into_iter().filter(|name| name.ends_with(".md"))).collect();
    out.sort();
    out
}

#[test]
fn every_path_that_the_architecture_names_exists() {
    let path = Regex::new(r"`((?:src|tests|docs|policies|controls|templates|reports|examples|scripts|benches|\.ci|\.github)(?:/[A-Za-z0-9_./-]*)?)`").unwrap();
    let text = read("ARCHITECTURE.md");
    let named: BTreeSet<&str> = path.captures_iter(&text).map(|found| found.get(1).unwrap().as_str()).collect();
    assert!(named.len() > 10, "the architecture names paths: {named:?}");
    let missing: Vec<String> =
        named.into_iter().filter(|name| !root().join(name).exists()).map(str::to_owned).collect();
    none(&missing);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let link = Regex::new(r"\]\(([^)#\s]+)(?:#[^)]*)?\)").unwrap();
    let mut dead = Vec::new();
    for name in documents() {
        let text = read(&name);
        let folder = root().join(&name);
        for found in link.captures_iter(&text) {
            let target = &found[1];
            if !target.contains("://") && !folder.parent().unwrap().join(target).exists() {
                dead.push(format!("{name}: {target}"));
            }
        }
    }
    none(&dead);
}

#[test]
fn the_book_has_every_page() {
    let summary = read("docs/SUMMARY.md");
    let missing: Vec<String> = files("docs")
        .into_iter()
        .filter_map(|name| Some(name.strip_prefix("docs/")?.to_owned()))
        .filter(|name| name.ends_with(".md") && name != "SUMMARY.md")
        // Found by their codes, numbers and index.
        .filter(|name| !name.starts_with("errors/") && !name.starts_with("adr/"))
        .filter(|name| !name.starts_with("kinds/") || name == "kinds/README.md")
        .filter(|name| !summary.contains(&format!("({name})")))
        .collect();
    none(&missing);
}

#[test]
fn nothing_tells_where_it_was_made() {
    // Written in two parts, so that this file does not find itself.
    let words = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/t", "mp/"),
        concat!("house-", "style"),
        concat!("aws-", "facts"),
        concat!("emulator-", "facts"),
        concat!("issue ", "#"),
    ];
    let folders = ["src", "tests", "docs", "policies", "controls", "templates", "reports", "scripts", ".ci", ".github"];
    let all = folders.into_iter().filter(|name| root().join(name).exists()).flat_map(files);
    let top = documents().into_iter().filter(|name| !name.contains('/'));
    let mut found = Vec::new();
    for name in all.chain(top).chain(["Cargo.toml".to_owned(), "build.rs".to_owned()]) {
        // What is no text has no words.
        let Ok(text) = std::fs::read_to_string(root().join(&name)) else { continue };
        for (at, line) in text.lines().enumerate() {
            found.extend(
                words.iter().filter(|word| line.contains(**word)).map(|word| format!("{name}:{}: `{word}`", at + 1)),
            );
        }
    }
    none(&found);
}
