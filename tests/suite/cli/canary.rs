//! Canaries: secret values that go through the whole life of an environment and turn up nowhere but in AWS.
//!
//! Everything that the binary prints or writes is searched for each of them: as it is, in base64 at every
//! alignment, in hex, as it stands in a URL and in JSON. Only the simulated AWS, which has to hold them, and the files
//! that the user keeps them in are left out.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use opora::sandbox::Sandbox;

use super::terminal::Terminal;
use crate::support::connect_outsider;

const FROM_ENV: &str = "canary/of+the=environment?&\"q\" ünï";
const RAISED: &str = "canary-that-came-with-the-second-version";
const FROM_FILE: &str = "canary of the file: one\ntwo";

const SPEC: &str = r#"opora: 1
environment: research
account: "123456789012"
region: us-east-1
resources:
  kms_key:
    data: { alias: alias/data, rotation: {} }
  s3_bucket:
    data: { name: acme-canary }
  vpc:
    main: { cidr: 10.40.0.0/16 }
  secretsmanager_secret:
    env: { name: acme/env, value: { from_env: CANARY }, kms_key: $(kms_key.data.arn) }
    file: { name: acme/file, value: { from_file: token.txt } }
    made: { name: acme/made, value: { generate: { length: 40 } } }
outputs:
  secret: $(secretsmanager_secret.env.arn)
"#;

const JOB: &str = "opora: 1
job: ask
environment: research
engine: bedrock.converse
model: amazon.nova-lite-v1:0
prompt: What is a canary?
max_tokens: 50
deadline: 2m
budget: 0.05 USD
";

/// Returns how a value may be written.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let json = serde_json::Value::from(secret).to_string();
    let url: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let plain_url: String = secret
        .bytes()
        .map(|byte| if unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    let form = plain_url.replace("%20", "+");
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut out: Vec<String> =
        vec![secret.to_owned(), json[1..json.len() - 1].to_owned(), url, plain_url, form, hex.to_uppercase(), hex];
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        for shift in 0..3 {
            // Amid other bytes its letters depend on where it begins; the ends are mixed with their neighbours.
            let text = engine.encode([vec![b'x'; shift], secret.as_bytes().to_vec()].concat());
            out.push(text[if shift > 0 { 4 } else { 0 }..text.len() - 4].to_owned());
        }
    }
    out.into_iter().map(String::into_bytes).collect()
}

/// All that was seen of a life.
struct Cage {
    terminal: Terminal,
    seen: Vec<(String, Vec<u8>)>,
}

impl Cage {
    /// Runs a command and keeps what it said.
    fn run(&mut self, line: &str, code: i32) {
        let output = self.terminal.command(&line.split_whitespace().collect::<Vec<_>>()).output().unwrap();
        let said = [output.stdout, b"\n".to_vec(), output.stderr].concat();
        assert_eq!(output.status.code(), Some(code), "{line}: {}", String::from_utf8_lossy(&said));
        self.seen.push((format!("`{line}`"), said));
    }

    /// Takes the files that are there, whatever wrote them.
    fn keep_files(&mut self) {
        for path in files(&self.terminal.path("")) {
            let name = path.strip_prefix(self.terminal.path("")).unwrap().display().to_string();
            let held = ["token.txt", "work/token.txt"].contains(&name.as_str());
            let aws = name.starts_with(".opora/sandbox/") && !name.ends_with("calls.ndjson");
            if !held && !aws {
                self.seen.push((name, std::fs::read(path).unwrap()));
            }
        }
    }

    #[track_caller]
    fn assert_unseen(&self, canaries: &[String]) {
        for canary in canaries {
            for form in forms(canary) {
                let holds = |bytes: &Vec<u8>| bytes.windows(form.len()).any(|part| part == form);
                let found: Vec<&String> =
                    self.seen.iter().filter(|(_, bytes)| holds(bytes)).map(|(at, _)| at).collect();
                assert!(found.is_empty(), "a canary, as {:?}, is in {found:?}", String::from_utf8_lossy(&form));
            }
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { out.extend(files(&path)) } else { out.push(path) }
    }
    out.sort();
    out
}

/// Reads the values that the simulated AWS holds.
async fn held(terminal: &Terminal) -> Vec<String> {
    let aws = connect_outsider(&Sandbox::open(&terminal.path(".opora/sandbox")).unwrap());
    let mut out = Vec::new();
    for name in ["acme/env", "acme/file", "acme/made"] {
        let value = aws.secretsmanager().get_secret_value().secret_id(name).send().await.unwrap();
        out.push(value.secret_string.unwrap());
    }
    out
}

fn life(terminal: Terminal) -> Cage {
    terminal.write("token.txt", &format!("{FROM_FILE}\n"));
    terminal.write("ask.yaml", JOB);
    terminal.write("opora.yaml", SPEC);
    Cage { terminal, seen: Vec::new() }
}

fn terminal() -> Terminal {
    let terminal = Terminal::empty().set("CANARY", FROM_ENV).set("RUST_LOG", "trace").set("RUST_BACKTRACE", "full");
    std::fs::create_dir(terminal.path("tmp")).unwrap();
    let tmp = terminal.path("tmp").display().to_string();
    terminal.set("TMPDIR", &tmp)
}

#[tokio::test]
async fn no_secret_value_is_anywhere_but_in_aws() {
    let mut cage = life(terminal());
    for (line, code) in [
        ("validate", 0),
        ("validate --json", 0),
        ("schema", 0),
        ("graph --format dot", 0),
        ("guards --json", 0),
        ("plan --sandbox --timings", 2),
        ("plan --sandbox --json", 2),
        ("rehearse --sandbox", 0),
        ("rehearse --sandbox --json", 0),
        ("plan --sandbox --out p.opora", 2),
        ("show p.opora", 0),
        ("show p.opora --json", 0),
        ("apply p.opora --sandbox --timings", 0),
        ("plan --sandbox --json", 0),
        ("drift --sandbox --json", 0),
        ("show", 0),
        ("show --json", 0),
        ("state list --json", 0),
        ("state show secretsmanager_secret.env", 0),
        ("state show secretsmanager_secret.made", 0),
        ("state history --json", 0),
        ("state verify", 0),
        ("job run ask.yaml --sandbox", 0),
        ("job list --json --sandbox", 0),
        ("job status ask --json --sandbox", 0),
        ("job result ask --sandbox", 0),
        ("audit --spec", 5),
        ("audit --live --sandbox --json", 5),
        ("audit --live --sandbox --report audit.html", 5),
        ("audit --live --sandbox --report audit.json", 5),
        ("audit --live --sandbox --report audit.sarif", 5),
        ("audit --live --sandbox --report audit.txt --lang uk", 5),
        ("backup backups --sandbox --include audit.html --json", 0),
    ] {
        cage.run(line, code);
    }
    let mut canaries = held(&cage.terminal).await;
    assert_eq!(canaries[..2], [FROM_ENV, FROM_FILE], "the values did arrive");
    cage.keep_files();

    // Another value by the same source, and an apply that fails behind it.
    cage.terminal = cage.terminal.set("CANARY", RAISED);
    let raised = SPEC.replace("from_env: CANARY }", "from_env: CANARY }, value_version: 2");
    let failing = raised.replace("name: acme-canary", "name: acme-canary, policy: { Version: none }");
    cage.terminal.write("opora.yaml", &failing);
    cage.run("apply --yes --sandbox", 1);
    cage.run("apply --yes --sandbox --json", 1);
    cage.terminal.write("opora.yaml", &raised);
    cage.run("apply --yes --sandbox", 0);
    // What can't be had is named, and no more.
    cage.terminal.write("opora.yaml", &raised.replace("token.txt", "tokens.txt"));
    cage.run("apply --yes --sandbox", 1);
    cage.terminal.write("opora.yaml", &raised);
    std::fs::remove_dir_all(cage.terminal.path(".opora/state")).unwrap();
    cage.run("restore backups --sandbox --json", 0);
    cage.run("state rebuild --yes --sandbox --json", 0);
    cage.run("restore backups --files work --sandbox", 0);
    cage.run("backup backups --sandbox --include token.txt", 1);
    canaries.extend(held(&cage.terminal).await);
    canaries.push(RAISED.to_owned());
    cage.run("destroy --yes --sandbox", 1);
    cage.keep_files();
    cage.assert_unseen(&canaries);
}

/// What has to be private is private from its first byte on, and nothing is put anywhere else on the way.
#[cfg(unix)]
#[test]
fn files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    // No folder for temporary files: each is beside what it becomes.
    let mut cage = life(terminal().set("TMPDIR", "/nonexistent"));
    for (line, code) in [
        ("plan --sandbox --out p.opora", 2),
        ("apply p.opora --sandbox", 0),
        ("job run ask.yaml --sandbox", 0),
        ("audit --live --sandbox --report audit.html", 5),
        ("backup backups --sandbox --include audit.html", 0),
        ("restore backups --files work --sandbox", 0),
    ] {
        cage.run(line, code);
    }
    let root = cage.terminal.path("");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let mut wrong = Vec::new();
    for path in files(&root) {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        let of_user = ["opora.yaml", "token.txt", "ask.yaml", "audit.html"].contains(&name.as_str());
        if !of_user && mode(&path) != 0o600 {
            wrong.push(format!("{name} {:o}", mode(&path)));
        }
        let folder = path.parent().unwrap();
        let private = [".opora/state", ".opora/jobs", ".opora/sandbox", "backups"];
        if private.iter().any(|private| name.starts_with(private)) && mode(folder) != 0o700 {
            wrong.push(format!("{} {:o}", folder.strip_prefix(&root).unwrap().display(), mode(folder)));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(files(&cage.terminal.path("tmp")).is_empty());
}

#[test]
fn the_search_finds_a_canary_however_it_is_written() {
    let secret = "canary-of-the-search/+?";
    for shift in 0..5 {
        let around = [&b"abcdefgh"[..shift], secret.as_bytes(), &b"zyxw"[..shift.min(4)]].concat();
        let text = base64::engine::general_purpose::STANDARD.encode(&around);
        let found = forms(secret).iter().any(|form| text.as_bytes().windows(form.len()).any(|part| part == form));
        assert!(found, "{shift}: {text}");
    }
    assert!(forms(secret).contains(&b"canary-of-the-search%2F%2B%3F".to_vec()));
}
