//! Random commands on documents, and a model that is the text of an object with three members: a list of
//! numbers, a text and a number.

use upkv::storage::testing::Run;

use super::{Content, Model, below, small};

#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// The whole document.
    Set(Shape),
    SetMember(u8, u8),
    Push(Vec<u8>),
    Insert(u8),
    Remove(u8),
    RemoveEvery,
    Append(String),
    Add(i64),
    Merge(u8),
    Clear,
    Drop,
}

/// What a document holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shape {
    list: Vec<u8>,
    text: String,
    number: i64,
}

impl Shape {
    fn text(&self) -> String {
        let (text, number) = (&self.text, self.number);
        let list: Vec<String> = self.list.iter().map(u8::to_string).collect();
        let list = list.join(",");
        format!(r#"{{"l":[{list}],"t":"{text}","n":{number}}}"#)
    }

    fn parse(text: &str) -> Self {
        let rest = text.strip_prefix(r#"{"l":["#).expect("an object");
        let (list, rest) = rest.split_once(r#"],"t":""#).expect("a list");
        let (text, rest) = rest.split_once(r#"","n":"#).expect("a text");
        let items = list.split(',').filter(|item| !item.is_empty());
        Self {
            list: items.map(|item| item.parse().expect("a number")).collect(),
            text: text.into(),
            number: rest.trim_end_matches('}').parse().expect("a number"),
        }
    }
}

fn word(run: &Run<'_>) -> String {
    "json".repeat(below(run, if below(run, 9) == 0 { 900 } else { 9 }))
}

impl Op {
    pub(crate) fn random(run: &Run<'_>) -> Self {
        let list = |run: &Run<'_>| (0..below(run, 40)).map(|_| small(run, 200)).collect();
        match below(run, 14) {
            0..=2 => Self::Set(Shape {
                list: list(run),
                text: word(run),
                number: i64::from(small(run, 99)),
            }),
            3 => Self::SetMember(small(run, 9), small(run, 200)),
            4 | 5 => Self::Push((0..=below(run, 5)).map(|_| small(run, 200)).collect()),
            6 => Self::Insert(small(run, 200)),
            7 => Self::Remove(small(run, 9)),
            8 => Self::RemoveEvery,
            9 => Self::Append(word(run)),
            10 => Self::Add(i64::from(small(run, 99)) - 50),
            11 => Self::Merge(small(run, 200)),
            12 => Self::Clear,
            _ => Self::Drop,
        }
    }

    pub(crate) fn args(&self, key: Vec<u8>) -> Vec<Vec<u8>> {
        let words: Vec<String> = match self {
            Self::Set(shape) => vec!["JSON.SET".into(), "$".into(), shape.text()],
            Self::SetMember(at, value) => {
                vec!["JSON.SET".into(), format!("$.l[{at}]"), value.to_string()]
            }
            Self::Push(values) => {
                let mut words = vec!["JSON.ARRAPPEND".into(), "$.l".into()];
                words.extend(values.iter().map(u8::to_string));
                words
            }
            Self::Insert(value) => {
                let head = ["JSON.ARRINSERT", "$.l", "0"].map(String::from);
                [&head[..], &[value.to_string()]].concat()
            }
            Self::Remove(at) => vec!["JSON.DEL".into(), format!("$.l[{at}]")],
            Self::RemoveEvery => vec!["JSON.DEL".into(), "$.l[::3]".into()],
            Self::Append(text) => {
                vec!["JSON.STRAPPEND".into(), "$.t".into(), format!("\"{text}\"")]
            }
            Self::Add(n) => vec!["JSON.NUMINCRBY".into(), "$.n".into(), n.to_string()],
            Self::Merge(value) => vec![
                "JSON.MERGE".into(),
                "$".into(),
                format!(r#"{{"l":[{value}],"x":null,"t":"m","n":1}}"#),
            ],
            Self::Clear => vec!["JSON.CLEAR".into(), "$.l".into()],
            Self::Drop => vec!["JSON.DEL".into(), "$".into()],
        };
        let mut args: Vec<Vec<u8>> = words.into_iter().map(String::into_bytes).collect();
        args.insert(1, key);
        args
    }

    /// Does the same to the model; `false` if the command is refused.
    pub(crate) fn apply(&self, key: &[u8], model: &mut Model) -> bool {
        let at = match (self, model.get(key)) {
            (Self::Set(shape), None) => {
                model.insert(key.into(), (Content::Document(shape.text()), 0));
                return true;
            }
            (Self::Remove(_) | Self::RemoveEvery | Self::Drop, None) => return true,
            (Self::Merge(value), None) => {
                let (list, text) = (vec![*value], "m".into());
                let shape = Shape {
                    list,
                    text,
                    number: 1,
                };
                model.insert(key.into(), (Content::Document(shape.text()), 0));
                return true;
            }
            (_, Some((Content::Document(_), at))) => *at,
            _ => return false,
        };
        if matches!(self, Self::Drop) {
            model.remove(key);
            return true;
        }
        let Some((Content::Document(text), _)) = model.get(key) else {
            return false;
        };
        let mut shape = Shape::parse(text);
        let len = shape.list.len();
        match self {
            Self::Set(new) => shape = new.clone(),
            Self::SetMember(at, value) => match shape.list.get_mut(usize::from(*at)) {
                Some(item) => *item = *value,
                None => return false,
            },
            Self::Push(values) => shape.list.extend_from_slice(values),
            Self::Insert(value) => shape.list.insert(0, *value),
            Self::Remove(at) if usize::from(*at) < len => drop(shape.list.remove((*at).into())),
            Self::RemoveEvery => {
                let kept = shape.list.iter().enumerate().filter(|(at, _)| at % 3 != 0);
                shape.list = kept.map(|(_, item)| *item).collect();
            }
            Self::Append(text) => shape.text.push_str(text),
            Self::Add(n) => shape.number += n,
            Self::Merge(value) => {
                (shape.list, shape.text, shape.number) = (vec![*value], "m".into(), 1);
            }
            Self::Clear => shape.list.clear(),
            Self::Remove(_) | Self::Drop => {}
        }
        model.insert(key.into(), (Content::Document(shape.text()), at));
        true
    }
}
