//! XML trees in (by quick-xml) and model-shaped XML out.
//!
//! Document types, external entities and nesting deeper than a bound are refused.

use quick_xml::events::Event;
use quick_xml::reader::Reader;
use serde_json::{Map, Value};

use super::query::{scalar, text};
use crate::sandbox::error::AwsError;
use crate::sandbox::model::{Member, Model, Shape, ShapeType, XmlNamespace};

/// The deepest nesting of elements.
const DEPTH_MAX: usize = 64;

/// One element.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Element {
    /// The name without its namespace prefix.
    pub(crate) name: String,
    /// Attributes with their prefixes.
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Element>,
    pub(crate) text: String,
}

impl Element {
    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }
}

fn bad(message: &str) -> AwsError {
    AwsError::new("MalformedXML", message).status(400)
}

/// Parses a document into its root element.
pub(crate) fn parse(bytes: &[u8]) -> Result<Element, AwsError> {
    let wrong = || bad("The XML you provided was not well-formed or did not validate against our published schema");
    let text = std::str::from_utf8(bytes).map_err(|_| wrong())?;
    let mut reader = Reader::from_str(text);
    let mut stack = vec![Element::default()];
    loop {
        match reader.read_event().map_err(|_| wrong())? {
            Event::Start(start) => {
                if stack.len() > DEPTH_MAX {
                    return Err(wrong());
                }
                stack.push(element(&start).ok_or_else(wrong)?);
            }
            Event::Empty(start) => {
                let child = element(&start).ok_or_else(wrong)?;
                stack.last_mut().ok_or_else(wrong)?.children.push(child);
            }
            Event::End(_) => {
                let child = stack.pop().ok_or_else(wrong)?;
                stack.last_mut().ok_or_else(wrong)?.children.push(child);
            }
            Event::Text(part) => {
                let part = part.decode().map_err(|_| wrong())?;
                stack.last_mut().ok_or_else(wrong)?.text.push_str(&part);
            }
            Event::CData(part) => {
                let part = part.decode().map_err(|_| wrong())?;
                stack.last_mut().ok_or_else(wrong)?.text.push_str(&part);
            }
            Event::GeneralRef(reference) => {
                let resolved = match reference.resolve_char_ref().map_err(|_| wrong())? {
                    Some(letter) => letter.to_string(),
                    None => {
                        let name = reference.decode().map_err(|_| wrong())?;
                        let known = quick_xml::escape::resolve_predefined_entity(&name);
                        known.ok_or_else(wrong)?.to_owned()
                    }
                };
                stack.last_mut().ok_or_else(wrong)?.text.push_str(&resolved);
            }
            Event::DocType(_) => return Err(wrong()),
            Event::Eof => break,
            _ => {}
        }
    }
    let mut top = stack.pop().filter(|_| stack.is_empty()).ok_or_else(wrong)?;
    match (top.children.pop(), top.children.is_empty()) {
        (Some(root), true) => Ok(root),
        _ => Err(wrong()),
    }
}

fn element(start: &quick_xml::events::BytesStart<'_>) -> Option<Element> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.ok()?;
        let key = std::str::from_utf8(attribute.key.as_ref()).ok()?.to_owned();
        let raw = std::str::from_utf8(&attribute.value).ok()?;
        attributes.push((key, quick_xml::escape::unescape(raw).ok()?.into_owned()));
    }
    let name = std::str::from_utf8(start.local_name().as_ref()).ok()?.to_owned();
    Some(Element { name, attributes, ..Element::default() })
}

/// Reads an element as a structure of the model.
pub(crate) fn structure(model: &Model, shape: &Shape, element: &Element) -> Result<Value, AwsError> {
    let mut out = Map::new();
    for (key, member) in shape.members.iter().filter(|(_, m)| m.location.is_none()) {
        let name = member.location_name.as_deref().unwrap_or(key);
        if member.xml_attribute {
            if let Some((_, value)) = element.attributes.iter().find(|(k, _)| k == name) {
                out.insert(key.clone(), Value::String(value.clone()));
            }
            continue;
        }
        let inner = model.shape(&member.shape);
        let flattened = member.flattened || inner.flattened;
        if inner.kind == ShapeType::List && flattened {
            let item = inner.member.as_ref().expect("internal error: a list names its member");
            let named = member.location_name.as_deref().or(item.location_name.as_deref());
            let items: Vec<Value> =
                element.named(named.unwrap_or(key)).map(|child| value(model, item, child)).collect::<Result<_, _>>()?;
            if !items.is_empty() {
                out.insert(key.clone(), Value::Array(items));
            }
        } else if let Some(child) = element.named(name).next() {
            out.insert(key.clone(), value(model, member, child)?);
        }
    }
    Ok(Value::Object(out))
}

fn value(model: &Model, member: &Member, element: &Element) -> Result<Value, AwsError> {
    let shape = model.shape(&member.shape);
    match shape.kind {
        ShapeType::Structure => structure(model, shape, element),
        ShapeType::List => {
            let item = shape.member.as_ref().expect("internal error: a list names its member");
            let name = item.location_name.as_deref().unwrap_or("member");
            let items = element.named(name).map(|child| value(model, item, child));
            Ok(Value::Array(items.collect::<Result<_, _>>()?))
        }
        ShapeType::Map => {
            let inner = shape.value.as_ref().expect("internal error: a map names its value");
            let mut out = Map::new();
            for entry in element.named("entry") {
                let key = entry.named("key").next().map(|e| e.text.trim().to_owned());
                if let (Some(key), Some(child)) = (key, entry.named("value").next()) {
                    out.insert(key, value(model, inner, child)?);
                }
            }
            Ok(Value::Object(out))
        }
        ShapeType::String | ShapeType::Blob => Ok(Value::String(element.text.clone())),
        kind => scalar(kind, element.text.trim()).map_err(|_| {
            bad("The XML you provided was not well-formed or did not validate against our published schema")
        }),
    }
}

/// Writes model-shaped XML.
#[derive(Debug)]
pub(crate) struct Writer {
    out: String,
}

impl Writer {
    /// Starts a document.
    pub(crate) fn new() -> Self {
        Writer { out: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned() }
    }

    /// Opens an element.
    pub(crate) fn open(&mut self, name: &str) {
        self.open_with(name, &[]);
    }

    /// Opens an element with attributes.
    pub(crate) fn open_with(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.out.push('<');
        self.out.push_str(name);
        for (key, value) in attributes {
            self.out.push_str(&format!(" {key}=\"{}\"", escape(value)));
        }
        self.out.push('>');
    }

    /// Closes an element.
    pub(crate) fn close(&mut self, name: &str) {
        self.out.push_str(&format!("</{name}>"));
    }

    /// Writes an element with text only.
    pub(crate) fn leaf(&mut self, name: &str, text: &str) {
        self.out.push_str(&format!("<{name}>{}</{name}>", escape(text)));
    }

    /// Returns the document.
    pub(crate) fn finish(self) -> String {
        self.out
    }

    /// Writes the body members of a structure.
    pub(crate) fn members(&mut self, model: &Model, shape: &Shape, value: &Value) {
        for (key, member) in &shape.members {
            if member.location.is_some() || member.xml_attribute {
                continue;
            }
            if let Some(value) = value.get(key).filter(|v| !v.is_null()) {
                let name = member.location_name.as_deref().unwrap_or(key);
                self.value(model, member, name, value);
            }
        }
    }

    /// Writes one member under a name.
    pub(crate) fn value(&mut self, model: &Model, member: &Member, name: &str, value: &Value) {
        let shape = model.shape(&member.shape);
        match (shape.kind, value) {
            (ShapeType::Structure, value) => {
                self.open_structure(shape, name, member.xml_namespace.as_ref(), value);
                self.members(model, shape, value);
                self.close(name);
            }
            (ShapeType::List, Value::Array(items)) => {
                let item = shape.member.as_ref().expect("internal error: a list names its member");
                if shape.flattened || member.flattened {
                    let name = match (&member.location_name, &item.location_name) {
                        (None, Some(item_name)) => item_name,
                        _ => name,
                    };
                    for value in items {
                        self.value(model, item, name, value);
                    }
                    return;
                }
                let item_name = item.location_name.as_deref().unwrap_or("member");
                self.open(name);
                for value in items {
                    self.value(model, item, item_name, value);
                }
                self.close(name);
            }
            (ShapeType::Map, Value::Object(entries)) => {
                let inner = shape.value.as_ref().expect("internal error: a map names its value");
                let key = shape.key.as_ref().and_then(|k| k.location_name.as_deref());
                self.open(name);
                for (entry_key, entry_value) in entries {
                    self.open("entry");
                    self.leaf(key.unwrap_or("key"), entry_key);
                    let value_name = inner.location_name.as_deref().unwrap_or("value");
                    self.value(model, inner, value_name, entry_value);
                    self.close("entry");
                }
                self.close(name);
            }
            (kind, value) => {
                let format = member.timestamp_format.as_deref().or(shape.timestamp_format.as_deref());
                self.leaf(name, &text(value, kind, format));
            }
        }
    }

    fn open_structure(&mut self, shape: &Shape, name: &str, namespace: Option<&XmlNamespace>, value: &Value) {
        let mut attributes: Vec<(String, String)> = Vec::new();
        if let Some(XmlNamespace { uri, prefix }) = namespace.or(shape.xml_namespace.as_ref()) {
            let key = prefix.as_ref().map_or("xmlns".to_owned(), |p| format!("xmlns:{p}"));
            attributes.push((key, uri.clone()));
        }
        for (key, member) in shape.members.iter().filter(|(_, m)| m.xml_attribute) {
            if let Some(text) = value.get(key).and_then(Value::as_str) {
                let name = member.location_name.as_deref().unwrap_or(key);
                attributes.push((name.to_owned(), text.to_owned()));
            }
        }
        let borrowed: Vec<(&str, &str)> = attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        self.open_with(name, &borrowed);
    }
}

/// Escapes text; characters that XML can not carry become U+FFFD.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' => out.push(letter),
            c if c < ' ' => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::model::model;
    use serde_json::json;

    #[test]
    fn s3_lifecycle_goes_there_and_back() {
        let s3 = model("s3").unwrap();
        let shape = s3.shape("BucketLifecycleConfiguration");
        let text = r#"<LifecycleConfiguration xmlns="u"><Rule><ID>a &amp; b&#33;</ID><Filter><Prefix></Prefix></Filter><Status>Enabled</Status><Expiration><Days>30</Days></Expiration></Rule></LifecycleConfiguration>"#;
        let value = structure(s3, shape, &parse(text.as_bytes()).unwrap()).unwrap();
        let expected = json!({"Rules": [{"ID": "a & b!", "Filter": {"Prefix": ""}, "Status": "Enabled", "Expiration": {"Days": 30}}]});
        assert_eq!(sorted(&value), sorted(&expected));
        let mut writer = Writer::new();
        writer.open("LifecycleConfiguration");
        writer.members(s3, shape, &value);
        writer.close("LifecycleConfiguration");
        let again = structure(s3, shape, &parse(writer.finish().as_bytes()).unwrap()).unwrap();
        assert_eq!(again, value);
    }

    fn sorted(value: &Value) -> String {
        let mut value = value.clone();
        value.sort_all_objects();
        value.to_string()
    }

    #[test]
    fn hostile_documents_are_refused() {
        for text in ["", "<a>", "<a></b>", "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "<a>&x;</a>", "<a/><b/>"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        let deep = "<a>".repeat(100) + &"</a>".repeat(100);
        assert!(parse(deep.as_bytes()).is_err());
    }
}
