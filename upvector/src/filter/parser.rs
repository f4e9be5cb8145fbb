//! Tokens to a condition, by recursive descent.
//!
//! Invariant: groups nest at most [`DEPTH_MAX`] deep, whatever the text.

use crate::error::{Error, Result};
use crate::metadata::Path;

use super::ast::{Literal, Node, Order, Set, Test};
use super::glob::Glob;
use super::lexer::{Lexer, Token};

/// Most parentheses around a predicate.
const DEPTH_MAX: usize = 64;

const KEYWORDS: [&str; 10] = [
    "AND", "OR", "NOT", "GLOB", "IN", "CONTAINS", "HAS", "FIELD", "true", "false",
];

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// Where the token at hand starts.
    at: usize,
    token: Token<'a>,
    depth: usize,
}

/// The condition of a text, or nothing if the text is blank.
pub(super) fn parse(text: &str) -> Result<Option<Node>> {
    let mut lexer = Lexer::new(text);
    let (at, token) = lexer.next()?;
    if matches!(token, Token::End) {
        return Ok(None);
    }
    let mut parser = Parser {
        lexer,
        at,
        token,
        depth: 0,
    };
    let node = parser.or()?;
    match parser.token {
        Token::End => Ok(Some(node)),
        _ => Err(parser.expected("AND, OR or the end of the filter")),
    }
}

impl Parser<'_> {
    fn or(&mut self) -> Result<Node> {
        let mut nodes = vec![self.and()?];
        while self.accept_keyword("OR")? {
            nodes.push(self.and()?);
        }
        Ok(one_or(nodes, Node::Or))
    }

    fn and(&mut self) -> Result<Node> {
        let mut nodes = vec![self.unit()?];
        while self.accept_keyword("AND")? {
            nodes.push(self.unit()?);
        }
        Ok(one_or(nodes, Node::And))
    }

    fn unit(&mut self) -> Result<Node> {
        let start = self.at;
        if self.accept_symbol("(")? {
            if self.depth == DEPTH_MAX {
                let message = format!("groups are nested over {DEPTH_MAX} deep");
                return Err(Error::filter(start, message));
            }
            self.depth += 1;
            let node = self.or()?;
            self.depth -= 1;
            self.expect_symbol(")")?;
            return Ok(node);
        }
        if self.accept_keyword("HAS")? {
            let negated = self.accept_keyword("NOT")?;
            self.expect_keyword("FIELD")?;
            let path = self.path()?;
            return Ok(if negated {
                Node::HasNotField(path)
            } else {
                Node::Predicate(path, Test::Exists)
            });
        }
        let path = self.path()?;
        Ok(Node::Predicate(path, self.test()?))
    }

    fn test(&mut self) -> Result<Test> {
        if let Token::Symbol(symbol) = self.token {
            let make: fn(Literal) -> Test = match symbol {
                "=" => Test::Equal,
                "!=" => Test::Unequal,
                "<" => |literal| Test::Order(Order::Less, literal),
                "<=" => |literal| Test::Order(Order::AtMost, literal),
                ">" => |literal| Test::Order(Order::Greater, literal),
                ">=" => |literal| Test::Order(Order::AtLeast, literal),
                _ => return Err(self.expected("an operator")),
            };
            self.advance()?;
            return Ok(make(self.literal()?));
        }
        let negated = self.accept_keyword("NOT")?;
        if self.accept_keyword("GLOB")? {
            let make = if negated { Test::NotGlob } else { Test::Glob };
            return Ok(make(self.glob()?));
        }
        if self.accept_keyword("IN")? {
            let make = if negated { Test::NotIn } else { Test::In };
            return Ok(make(self.set()?));
        }
        if self.accept_keyword("CONTAINS")? {
            let make = if negated {
                Test::NotContains
            } else {
                Test::Contains
            };
            return Ok(make(self.literal()?));
        }
        Err(self.expected(if negated {
            "GLOB, IN or CONTAINS after NOT"
        } else {
            "an operator"
        }))
    }

    fn path(&mut self) -> Result<Path> {
        let Token::Word(word) = self.token else {
            return Err(self.expected("a field"));
        };
        if KEYWORDS
            .iter()
            .any(|keyword| word.eq_ignore_ascii_case(keyword))
        {
            return Err(self.expected("a field"));
        }
        let path =
            Path::parse(word).map_err(|bad| Error::filter(self.at + bad.position, bad.message))?;
        self.advance()?;
        Ok(path)
    }

    fn literal(&mut self) -> Result<Literal> {
        let literal = match &self.token {
            Token::Number(number) => Literal::Number(*number),
            Token::String(text) => Literal::String(text.as_ref().into()),
            Token::Word(word) if word.eq_ignore_ascii_case("true") => Literal::Bool(true),
            Token::Word(word) if word.eq_ignore_ascii_case("false") => Literal::Bool(false),
            _ => return Err(self.expected("a number, a string, true or false")),
        };
        self.advance()?;
        Ok(literal)
    }

    fn glob(&mut self) -> Result<Glob> {
        let Token::String(pattern) = &self.token else {
            return Err(self.expected("a string"));
        };
        let glob = Glob::new(pattern).map_err(|message| Error::filter(self.at, message))?;
        self.advance()?;
        Ok(glob)
    }

    fn set(&mut self) -> Result<Set> {
        self.expect_symbol("(")?;
        let mut literals = vec![self.literal()?];
        while self.accept_symbol(",")? {
            literals.push(self.literal()?);
        }
        self.expect_symbol(")")?;
        Ok(literals.into_iter().collect())
    }

    fn advance(&mut self) -> Result<()> {
        (self.at, self.token) = self.lexer.next()?;
        Ok(())
    }

    fn accept_keyword(&mut self, keyword: &str) -> Result<bool> {
        match self.token {
            Token::Word(word) if word.eq_ignore_ascii_case(keyword) => {
                self.advance()?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn expect_keyword(&mut self, keyword: &str) -> Result<()> {
        if self.accept_keyword(keyword)? {
            Ok(())
        } else {
            Err(self.expected(keyword))
        }
    }

    fn accept_symbol(&mut self, symbol: &str) -> Result<bool> {
        match self.token {
            Token::Symbol(found) if found == symbol => {
                self.advance()?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn expect_symbol(&mut self, symbol: &str) -> Result<()> {
        if self.accept_symbol(symbol)? {
            Ok(())
        } else {
            Err(self.expected(&format!("{symbol:?}")))
        }
    }

    #[cold]
    fn expected(&self, what: &str) -> Error {
        let found = match &self.token {
            Token::Word(word) => format!("{word:?}"),
            Token::Number(_) => "a number".to_owned(),
            Token::String(_) => "a string".to_owned(),
            Token::Symbol(symbol) => format!("{symbol:?}"),
            Token::End => "the end of the filter".to_owned(),
        };
        Error::filter(self.at, format!("expected {what}, found {found}"))
    }
}

/// A single node needs no list around it, so that a chain of parentheses costs nothing.
fn one_or(mut nodes: Vec<Node>, list: fn(Box<[Node]>) -> Node) -> Node {
    match nodes.len() {
        1 => nodes.swap_remove(0),
        _ => list(nodes.into()),
    }
}
