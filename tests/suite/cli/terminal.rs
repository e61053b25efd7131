//! A folder, an environment and a binary; and the sandbox as a server beside them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use regex::Regex;
use tempfile::TempDir;

/// A small environment whose kinds need nothing else.
pub const SPEC: &str = r#"opora: 1
environment: research
account: "123456789012"
region: us-east-1
resources:
  kms_key:
    data: { description: Data, alias: alias/data, rotation: { period_days: 365 } }
  vpc:
    main: { cidr: 10.40.0.0/16 }
  subnet:
    private:
      for_each: { a: 10.40.0.0/20 }
      vpc: $(vpc.main.id)
      zone: $("us-east-1" ~ each.key)
      cidr: $(each.value)
outputs:
  key: $(kms_key.data.arn)
"#;

/// Returns the binary: `OPORA_BIN` names another one than that of this build.
fn binary() -> OsString {
    std::env::var_os("OPORA_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_opora").into())
}

/// Where commands are typed.
pub struct Terminal {
    folder: TempDir,
    variables: BTreeMap<String, String>,
}

impl Terminal {
    /// Opens one in an empty folder.
    pub fn empty() -> Self {
        let folder = TempDir::new().unwrap();
        let variables = BTreeMap::from([
            ("HOME".to_owned(), folder.path().display().to_string()),
            ("NO_COLOR".to_owned(), "1".to_owned()),
            // Otherwise the SDK asks the network for an instance's role.
            ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
        ]);
        Self { folder, variables }
    }

    /// Opens one beside a spec.
    pub fn with(spec: &str) -> Self {
        let terminal = Self::empty();
        terminal.write("opora.yaml", spec);
        terminal
    }

    /// Opens one beside the small environment, applied in the sandbox.
    pub fn applied() -> Self {
        let terminal = Self::with(SPEC);
        let ended = terminal.run("apply --yes --sandbox");
        assert_eq!(ended.code, Some(0), "{ended}");
        terminal
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Sets a variable of the environment; an empty value takes it out.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.remove(name);
        if !value.is_empty() {
            self.variables.insert(name.to_owned(), value.to_owned());
        }
        self
    }

    /// Signs in with an access key, at an endpoint.
    #[must_use]
    pub fn signed_in(self, key: &str, server: &Server) -> Self {
        self.set("AWS_ACCESS_KEY_ID", key).set("AWS_SECRET_ACCESS_KEY", "secret").set("AWS_ENDPOINT_URL", &server.url)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).env_clear().envs(&self.variables).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs `opora` with the words of `line`.
    pub fn run(&self, line: &str) -> Ended {
        self.run_words(&line.split_whitespace().collect::<Vec<_>>())
    }

    pub fn run_words(&self, words: &[&str]) -> Ended {
        let output = self.command(words).output().unwrap();
        Ended::new(output.status.code(), &output.stdout, &output.stderr)
    }
}

/// A command that has ended. Written as its standard output, its standard error behind `! `, and its exit code.
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    pub fn new(code: Option<i32>, out: &[u8], err: &[u8]) -> Self {
        Self { code, out: String::from_utf8(out.to_vec()).unwrap(), err: String::from_utf8(err.to_vec()).unwrap() }
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in sorted_steps(&scrub(&self.out)) {
            writeln!(formatter, "{line}")?;
        }
        for line in sorted_steps(&scrub(&self.err)) {
            writeln!(formatter, "! {line}")?;
        }
        match self.code {
            Some(code) => write!(formatter, "exit {code}"),
            None => write!(formatter, "killed"),
        }
    }
}

/// Steps that run at once end in any order.
fn sorted_steps(text: &str) -> Vec<String> {
    let is_step =
        |line: &&str| ["  created ", "  updated ", "  deleted ", "  failed "].iter().any(|word| line.starts_with(word));
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let mut out = Vec::new();
    for group in lines.chunk_by(|a, b| is_step(a) == is_step(b)) {
        let mut group: Vec<String> = group.iter().map(|line| (*line).to_owned()).collect();
        if group.first().is_some_and(|line| is_step(&line.as_str())) {
            group.sort();
        }
        out.extend(group);
    }
    out
}

/// Puts names in the place of what differs from run to run.
fn scrub(text: &str) -> String {
    let rules = [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[uuid]"),
        (r"\b[0-9a-f]{64}\b", "[digest]"),
        (r"\b(spec|plan) ( ?)[0-9a-f]{12}\b", "$1 $2[digest]"),
        (r"\b(vpc|subnet|igw|sg|rtb|nat|dopt|acl)-[0-9a-f]{17}\b", "$1-[id]"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[time]"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
        (r"\bprocess \d+", "process [n]"),
        // Which controls a check is evidence for, and how many actions a kind needs, is told elsewhere.
        (r"A\.\d+\.\d+( A\.\d+\.\d+)*", "[controls]"),
        (r"\band \d+ more \(", "and [n] more ("),
        (r"\b\d+ calls, \d+ throttled, \d+\.\d s", "[n] calls, [n] throttled, [n] s"),
        (r"\b\d+ calls, \d+ throttled", "[n] calls, [n] throttled"),
    ];
    let mut text = text.to_owned();
    for (pattern, name) in rules {
        text = Regex::new(pattern).unwrap().replace_all(&text, name).into_owned();
    }
    text
}

/// `opora sandbox serve` as a process of its own; ended with this value.
pub struct Server {
    child: Child,
    pub url: String,
}

impl Server {
    /// Starts one on a free port.
    pub fn start(options: &[&str]) -> Self {
        let mut child = Command::new(binary())
            .args(["sandbox", "serve", "--listen", "127.0.0.1:0"])
            .args(options)
            .env_clear()
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("`{line}`")).to_owned();
        Self { child, url }
    }

    /// Asks the server's own surface; with a body it is a POST.
    pub fn admin(&self, name: &str, body: Option<&str>) -> serde_json::Value {
        let method = if body.is_some() { "POST" } else { "GET" };
        let body = body.unwrap_or_default();
        let host = self.url.strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} /_sandbox/{name} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// Injects a fault into every call of an operation.
    pub fn fault(&self, operation: &str, kind: &str) {
        self.admin(
            "faults",
            Some(&format!(r#"{{"faults":[{{"operation":"{operation}","every":1,"kind":"{kind}"}}]}}"#)),
        );
    }

    /// Waits until the server has seen a call of an operation.
    pub fn wait_for(&self, operation: &str) {
        loop {
            let calls = self.admin("calls", None);
            if calls["calls"].as_array().unwrap().iter().any(|call| call["operation"] == operation) {
                return;
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
