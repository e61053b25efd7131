//! The codes of this module, each with its page under `docs/errors`.

macro_rules! pages {
    ($($code:literal => $title:literal),* $(,)?) => {
        &[$(Code { code: $code, title: $title, page: include_str!(concat!("../../docs/errors/", $code, ".md")) }),*]
    };
}

/// A code with its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    pub code: &'static str,
    pub title: &'static str,
    pub page: &'static str,
}

static CODES: &[Code] = pages![
    "SPEC001" => "file can't be read",
    "SPEC002" => "file is not UTF-8",
    "SPEC003" => "file is empty",
    "SPEC004" => "YAML syntax error",
    "SPEC005" => "tab in indentation",
    "SPEC006" => "duplicate key",
    "SPEC007" => "file is too large",
    "SPEC008" => "more than one document",
    "SPEC009" => "key is not text",
    "SPEC010" => "value that YAML readers take differently",
    "SPEC011" => "unknown kind",
    "SPEC012" => "unknown argument",
    "SPEC013" => "wrong type",
    "SPEC014" => "missing argument",
    "SPEC015" => "value not allowed",
    "SPEC016" => "unknown field",
    "SPEC017" => "name not allowed",
    "SPEC018" => "missing field",
    "SPEC019" => "value not allowed here",
    "SPEC020" => "input value not allowed",
    "SPEC021" => "input without a value",
    "SPEC022" => "unknown input",
    "SPEC023" => "module not found",
    "SPEC024" => "module uses itself",
    "SPEC030" => "dangling reference",
    "SPEC031" => "reference cycle",
    "SPEC032" => "expression can't be read",
    "SPEC033" => "expression failed",
    "SPEC034" => "for_each can't be expanded",
    "SPEC035" => "for_each key expected",
    "SPEC040" => "CIDR not valid",
    "SPEC041" => "networks overlap",
    "SPEC042" => "network outside its parent",
    "SPEC043" => "ARN not valid",
    "SPEC044" => "policy document not valid",
    "SPEC045" => "tag not allowed",
    "SPEC046" => "two resources have what only one can have",
];

/// Lists all codes in their order.
pub fn codes() -> &'static [Code] {
    CODES
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SOURCES: [&str; 11] = [
        include_str!("mod.rs"),
        include_str!("document.rs"),
        include_str!("expand/expression.rs"),
        include_str!("expand/mod.rs"),
        include_str!("modules.rs"),
        include_str!("networks.rs"),
        include_str!("resolve.rs"),
        include_str!("unique.rs"),
        include_str!("validate.rs"),
        include_str!("../yaml/build.rs"),
        include_str!("../yaml/mod.rs"),
    ];

    #[test]
    fn codes_in_use_are_the_codes_with_pages() {
        let mut used = BTreeSet::new();
        for source in SOURCES {
            for (at, _) in source.match_indices("\"SPEC") {
                used.insert(source[at + 1..].split('"').next().unwrap());
            }
        }
        let known: BTreeSet<&str> = CODES.iter().map(|code| code.code).collect();
        assert_eq!(used, known);
    }

    #[test]
    fn each_page_says_what_and_what_to_do() {
        for Code { code, title, page } in CODES {
            assert!(page.starts_with(&format!("# {code}: {title}\n")), "{code}");
            assert!(page.contains("```") && page.contains("## What to do"), "{code}");
        }
    }
}
