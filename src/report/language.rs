//! The words of reports in each language: one table, so that a missing one does not compile.
//!
//! Checks bring their own texts in the languages that they have. What the catalogue and people write, and why
//! something is not known, stays in the language it was written in.

use std::collections::BTreeMap;

use crate::controls::{Audit, Moment, Severity, State, Theme};

/// A report's language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    #[default]
    English,
    Ukrainian,
}

macro_rules! words {
    ($($name:ident: $english:literal, $ukrainian:literal;)*) => {
        /// The fixed words of a report.
        #[derive(Debug, Clone, serde::Serialize)]
        pub(super) struct Words { $(pub(super) $name: &'static str,)* }

        const ENGLISH: Words = Words { $($name: $english,)* };
        const UKRAINIAN: Words = Words { $($name: $ukrainian,)* };
    };
}

words! {
    lang: "en", "uk";
    title: "Evidence for ISO/IEC 27001:2022 controls", "Докази щодо заходів ISO/IEC 27001:2022";
    lead: "What was looked at, what was found, and what is still owed. It is evidence for controls of Annex A, not a statement of certification.",
          "Що перевірено, що виявлено і чого ще бракує. Це докази щодо заходів Додатка A, а не висновок про сертифікацію.";
    account: "Account", "Обліковий запис";
    region: "Region", "Регіон";
    environment: "Environment", "Середовище";
    looked_at: "Looked at", "Що розглянуто";
    made_at: "Time", "Час";
    resources: "Resources", "Ресурси";
    checks: "Checks", "Перевірки";
    controls: "Controls", "Заходи";
    summary: "By theme", "За розділами";
    attention: "To act on", "Потребує дій";
    attention_none: "Nothing fails.", "Порушень немає.";
    not_known: "Not known", "Невідомо";
    not_known_lead: "These could not be looked at, or nobody has answered for them yet. None of them counts as a pass.",
                    "Це не вдалося перевірити, або за це ще ніхто не відповів. Жоден такий захід не вважається виконаним.";
    not_known_none: "Everything asked has an answer.", "На всі питання є відповідь.";
    waits_for_people: "Waiting for people", "Чекає на відповідь людей";
    waits_for_records: "Waiting for records", "Чекає на записи";
    could_not_look: "Could not be looked at", "Не вдалося перевірити";
    all_controls: "All controls", "Усі заходи";
    waivers: "Waivers", "Винятки";
    waivers_none: "No fault is waived.", "Винятків немає.";
    expires: "expires", "чинний до";
    owner: "owner", "відповідальний";
    reason: "reason", "причина";
    populations: "What each check looked at", "Що охопила кожна перевірка";
    check: "Check", "Перевірка";
    kind: "Kind", "Тип";
    examined: "Looked at", "Розглянуто";
    state: "State", "Стан";
    values_read: "Values read", "Прочитані значення";
    more_fields: "more fields", "інших полів";
    not_set: "not set", "не задано";
    evidence: "Evidence", "Докази";
    question: "Question", "Питання";
    accepted: "Accepted evidence", "Прийнятні докази";
    valid_until: "valid until", "чинне до";
    asked_of: "Asked of", "Відповідає";
    justification: "Justification", "Обґрунтування";
    inherited: "Inherited from", "Забезпечує";
    not_in_spec: "not in the spec", "немає у специфікації";
    more: "more", "ще";
    faults: "faults", "порушень";
    severity: "Severity", "Вага";
    where_: "Where", "Де";
    why: "Why", "Чому";
    state_pass: "pass", "виконано";
    state_fail: "fail", "порушено";
    state_unknown: "unknown", "невідомо";
    state_not_applicable: "not applicable", "не застосовно";
    state_attested: "attested", "засвідчено";
    state_waived: "waived", "виняток";
    state_excluded: "excluded", "виключено";
    theme_organizational: "Organizational", "Організаційні";
    theme_people: "People", "Персонал";
    theme_physical: "Physical", "Фізичні";
    theme_technological: "Technological", "Технологічні";
    severity_low: "low", "низька";
    severity_medium: "medium", "середня";
    severity_high: "high", "висока";
    severity_critical: "critical", "критична";
    moment_spec: "the spec", "специфікацію";
    moment_plan: "the plan", "план змін";
    moment_live: "the live account", "обліковий запис у роботі";
    footer: "Made by opora from the answers of AWS's own interfaces and the files named above; the same input gives the same report.",
            "Створено opora за відповідями інтерфейсів AWS і названими вище файлами; ті самі дані дають той самий звіт.";
}

impl Language {
    /// Reads a language tag such as `uk` or `en-GB`.
    pub fn from_tag(tag: &str) -> Option<Self> {
        match tag.split(['-', '_']).next()?.to_ascii_lowercase().as_str() {
            "en" => Some(Self::English),
            "uk" => Some(Self::Ukrainian),
            _ => None,
        }
    }

    pub(super) fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::Ukrainian => &UKRAINIAN,
        }
    }
}

/// What checks say, in the report's language.
pub(super) struct Texts<'a> {
    words: &'static Words,
    by_english: BTreeMap<&'a str, &'a str>,
}

impl<'a> Texts<'a> {
    pub(super) fn new(audit: &'a Audit, language: Language) -> Self {
        let all = audit.populations.iter().flat_map(|population| &population.ukrainian);
        let by_english = match language {
            Language::English => BTreeMap::new(),
            Language::Ukrainian => all.map(|(english, own)| (english.as_str(), own.as_str())).collect(),
        };
        Self { words: language.words(), by_english }
    }

    /// Returns a check's message or reason in the report's language, and any other text as it is.
    pub(super) fn of(&self, text: &str) -> String {
        match (self.by_english.get(text), text.strip_prefix("waived: ")) {
            (Some(own), _) => (*own).to_owned(),
            (None, Some(message)) if self.by_english.contains_key(message) => {
                format!("{}: {}", self.words.state_waived, self.by_english[message])
            }
            _ => text.to_owned(),
        }
    }
}

impl Words {
    pub(super) fn state(&self, state: State) -> &'static str {
        match state {
            State::Pass => self.state_pass,
            State::Fail => self.state_fail,
            State::Unknown => self.state_unknown,
            State::NotApplicable => self.state_not_applicable,
            State::Attested => self.state_attested,
            State::Waived => self.state_waived,
            State::Excluded => self.state_excluded,
        }
    }

    pub(super) fn theme(&self, theme: Theme) -> &'static str {
        match theme {
            Theme::Organizational => self.theme_organizational,
            Theme::People => self.theme_people,
            Theme::Physical => self.theme_physical,
            Theme::Technological => self.theme_technological,
        }
    }

    pub(super) fn severity(&self, severity: Severity) -> &'static str {
        match severity {
            Severity::Low => self.severity_low,
            Severity::Medium => self.severity_medium,
            Severity::High => self.severity_high,
            Severity::Critical => self.severity_critical,
        }
    }

    pub(super) fn moment(&self, moment: Moment) -> &'static str {
        match moment {
            Moment::Spec => self.moment_spec,
            Moment::Plan => self.moment_plan,
            Moment::Live => self.moment_live,
        }
    }
}
