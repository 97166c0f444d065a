//! Walks a parsed template.

use std::collections::BTreeMap;

use gotmpl::parse::{BranchNode, CommandNode, Expr, ListNode, Node, Number, PipeNode, Pos};

use super::funcs;
use super::shown::{chain_pos, pipe_text, text};
use super::value::{List, Value};

/// How deep templates may call templates.
const DEPTH: usize = 1000;

/// A template that was parsed.
pub(super) struct Program<'a> {
    pub(super) name: &'static str,
    pub(super) source: &'a str,
    pub(super) body: ListNode,
    pub(super) defined: BTreeMap<String, ListNode>,
}

/// Go's own functions.
const GO: &[&str] = &[
    "and", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print",
    "printf", "println", "slice", "urlquery",
];

/// Tells of every function that is called.
fn identifiers(list: &ListNode, tell: &mut impl FnMut(Pos, &str)) {
    for node in &list.nodes {
        match node {
            Node::List(list) => identifiers(list, tell),
            Node::Action(action) => in_pipe(&action.pipe, tell),
            Node::If(branch) | Node::Range(branch) | Node::With(branch) => {
                in_pipe(&branch.pipe, tell);
                identifiers(&branch.body, tell);
                branch.else_body.iter().for_each(|body| identifiers(body, tell));
            }
            Node::Template(call) => call.pipe.iter().for_each(|pipe| in_pipe(pipe, tell)),
            Node::Define(define) => identifiers(&define.body, tell),
            Node::Text(_) | Node::Break(_) | Node::Continue(_) => {}
        }
    }
}

fn in_pipe(pipe: &PipeNode, tell: &mut impl FnMut(Pos, &str)) {
    for expression in pipe.commands.iter().flat_map(|command| &command.args) {
        in_expression(expression, tell);
    }
}

fn in_expression(expression: &Expr, tell: &mut impl FnMut(Pos, &str)) {
    match expression {
        Expr::Identifier(pos, name) => tell(*pos, name),
        Expr::Pipe(_, pipe) => in_pipe(pipe, tell),
        Expr::Chain(_, inner, _) => in_expression(inner, tell),
        _ => {}
    }
}

/// Why the walk goes no further.
enum Stop {
    Break,
    Continue,
    Error(String),
}

type Done<T> = Result<T, Stop>;

impl Program<'_> {
    /// Refuses functions that nobody knows, as Go does before anything runs.
    pub(super) fn check_functions(&self) -> Result<(), String> {
        let mut unknown = None;
        let bodies = std::iter::once(&self.body).chain(self.defined.values());
        bodies.for_each(|body| {
            identifiers(body, &mut |pos, name| {
                if !GO.contains(&name) && !funcs::OWN.contains(&name) {
                    unknown.get_or_insert_with(|| (pos, name.to_owned()));
                }
            });
        });
        match unknown {
            Some((pos, name)) => Err(format!(
                "template: {}:{}: function \"{name}\" not defined",
                self.name, pos.line
            )),
            None => Ok(()),
        }
    }

    /// Prints what the template makes of `data`. The error is Go's sentence.
    pub(super) fn run(&self, data: &Value) -> Result<String, String> {
        let mut walk = Walk {
            program: self,
            variables: vec![("$".to_owned(), data.clone())],
            output: String::new(),
            depth: 0,
        };
        match walk.list(data, &self.body) {
            Ok(()) | Err(Stop::Break | Stop::Continue) => Ok(walk.output),
            Err(Stop::Error(sentence)) => Err(sentence),
        }
    }
}

struct Walk<'a> {
    program: &'a Program<'a>,
    variables: Vec<(String, Value)>,
    output: String,
    depth: usize,
}

impl Walk<'_> {
    fn list(&mut self, dot: &Value, list: &ListNode) -> Done<()> {
        list.nodes.iter().try_for_each(|node| self.node(dot, node))
    }

    fn node(&mut self, dot: &Value, node: &Node) -> Done<()> {
        match node {
            Node::List(list) => self.list(dot, list),
            Node::Text(text) => {
                self.output.push_str(&text.text);
                Ok(())
            }
            Node::Action(action) => {
                let value = self.pipeline(dot, &action.pipe)?;
                if action.pipe.decl.is_empty() {
                    self.output.push_str(&value.print());
                }
                Ok(())
            }
            Node::If(branch) => self.scoped(|walk| {
                let value = walk.pipeline(dot, &branch.pipe)?;
                walk.choose(dot, branch, value.is_true().then_some(dot))
            }),
            Node::With(branch) => self.scoped(|walk| {
                let value = walk.pipeline(dot, &branch.pipe)?;
                walk.choose(dot, branch, value.is_true().then_some(&value))
            }),
            Node::Range(branch) => self.scoped(|walk| walk.range(dot, branch)),
            Node::Template(call) => {
                let data = match &call.pipe {
                    Some(pipe) => self.pipeline(dot, pipe)?,
                    None => Value::Nothing,
                };
                self.call(call.pos, &call.name, data)
            }
            Node::Define(_) => Ok(()),
            Node::Break(_) => Err(Stop::Break),
            Node::Continue(_) => Err(Stop::Continue),
        }
    }

    fn call(&mut self, pos: Pos, name: &str, data: Value) -> Done<()> {
        let Some(body) = self.program.defined.get(name) else {
            return Err(self.error(pos, name, format!("template {name:?} not defined")));
        };
        if self.depth == DEPTH {
            return Err(self.error(
                pos,
                name,
                format!("exceeded maximum template depth ({DEPTH})"),
            ));
        }
        let outer = std::mem::replace(&mut self.variables, vec![("$".to_owned(), data.clone())]);
        self.depth = self.depth.saturating_add(1);
        let done = self.list(&data, body);
        self.depth = self.depth.saturating_sub(1);
        self.variables = outer;
        done
    }

    fn scoped(&mut self, walk: impl FnOnce(&mut Self) -> Done<()>) -> Done<()> {
        let mark = self.variables.len();
        let done = walk(self);
        self.variables.truncate(mark);
        done
    }

    fn choose(&mut self, outer: &Value, branch: &BranchNode, inner: Option<&Value>) -> Done<()> {
        match (inner, &branch.else_body) {
            (Some(dot), _) => self.list(dot, &branch.body),
            (None, Some(body)) => self.list(outer, body),
            (None, None) => Ok(()),
        }
    }

    fn range(&mut self, dot: &Value, branch: &BranchNode) -> Done<()> {
        let value = self.pipeline(dot, &branch.pipe)?;
        let items: Box<dyn Iterator<Item = (Value, Value)>> = match &value {
            Value::List(List { items, .. }) => {
                Box::new((0..).map(Value::Int).zip(items.iter().cloned()))
            }
            Value::Map(map, ..) => {
                Box::new(map.iter().map(|(key, value)| (Value::text(key), value.clone())))
            }
            Value::Int(count) => Box::new((0..*count).map(|at| (Value::Int(at), Value::Int(at)))),
            Value::Nothing => Box::new(std::iter::empty()),
            other => {
                let sentence = format!("range can't iterate over {}", other.print());
                return Err(self.error(branch.pipe.pos, &pipe_text(&branch.pipe), sentence));
            }
        };
        let mut items = items.peekable();
        if items.peek().is_none() {
            return self.choose(dot, branch, None);
        }
        let mark = self.variables.len();
        let names: Vec<String> = branch.pipe.decl.iter().map(ToString::to_string).collect();
        for (key, item) in items {
            match names.as_slice() {
                [one] => self.bind(one, item.clone(), branch.pipe.is_assign),
                [first, second] => {
                    self.bind(first, key, branch.pipe.is_assign);
                    self.bind(second, item.clone(), branch.pipe.is_assign);
                }
                _ => {}
            }
            match self.list(&item, &branch.body) {
                Ok(()) | Err(Stop::Continue) => {}
                Err(Stop::Break) => break,
                Err(error) => return Err(error),
            }
            self.variables.truncate(mark);
        }
        self.variables.truncate(mark);
        Ok(())
    }

    fn bind(&mut self, name: &str, value: Value, assign: bool) {
        if assign
            && let Some(slot) = self.variables.iter_mut().rev().find(|(known, _)| known == name)
        {
            slot.1 = value;
        } else {
            self.variables.push((name.to_owned(), value));
        }
    }

    fn pipeline(&mut self, dot: &Value, pipe: &PipeNode) -> Done<Value> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?);
        }
        let value = value.unwrap_or(Value::Nothing);
        if let [name] = pipe.decl.as_slice() {
            self.bind(name, value.clone(), pipe.is_assign);
        }
        Ok(value)
    }

    /// `piped` is the result of the command before, which comes as the last argument.
    fn command(&mut self, dot: &Value, command: &CommandNode, piped: Option<Value>) -> Done<Value> {
        let Some((first, arguments)) = command.args.split_first() else {
            return Ok(Value::Nothing);
        };
        match first {
            Expr::Identifier(pos, name) => self.function(dot, *pos, name, arguments, piped),
            Expr::Field(_, fields) => {
                self.fields(dot, dot.clone(), first, fields, arguments, piped)
            }
            Expr::Variable(_, name, fields) => {
                let value = self.variable(first, name)?;
                self.fields(dot, value, first, fields, arguments, piped)
            }
            Expr::Chain(_, inner, fields) => {
                let value = self.argument(dot, inner)?;
                self.fields(dot, value, first, fields, arguments, piped)
            }
            other => {
                if !arguments.is_empty() || piped.is_some() {
                    let text = text(other);
                    let sentence = format!("can't give argument to non-function {text}");
                    return Err(self.error(other.pos(), &text, sentence));
                }
                self.argument(dot, other)
            }
        }
    }

    fn argument(&mut self, dot: &Value, expression: &Expr) -> Done<Value> {
        Ok(match expression {
            Expr::Dot(_) => dot.clone(),
            Expr::Field(_, fields) => {
                self.fields(dot, dot.clone(), expression, fields, &[], None)?
            }
            Expr::Variable(_, name, fields) => {
                let value = self.variable(expression, name)?;
                self.fields(dot, value, expression, fields, &[], None)?
            }
            Expr::Identifier(pos, name) => self.function(dot, *pos, name, &[], None)?,
            Expr::String(_, text) => Value::Text(text.clone()),
            Expr::Number(_, Number::Int(number)) => Value::Int(*number),
            Expr::Number(_, Number::Uint(number)) => {
                Value::Int(i64::try_from(*number).unwrap_or(i64::MAX))
            }
            Expr::Number(_, Number::Float(number)) => Value::Float(*number),
            Expr::Bool(_, truth) => Value::Bool(*truth),
            Expr::Nil(_) => Value::Nothing,
            Expr::Pipe(_, pipe) => self.pipeline(dot, pipe)?,
            Expr::Chain(_, inner, fields) => {
                let value = self.argument(dot, inner)?;
                self.fields(dot, value, expression, fields, &[], None)?
            }
        })
    }

    fn variable(&self, expression: &Expr, name: &str) -> Done<Value> {
        let found = self.variables.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).ok_or_else(|| {
            let line = expression.pos().line;
            Stop::Error(format!(
                "template: {}:{line}: undefined variable {name:?}",
                self.program.name
            ))
        })
    }

    /// Follows a chain of fields; the last may be a method with arguments.
    fn fields(
        &mut self,
        dot: &Value,
        start: Value,
        expression: &Expr,
        names: &[impl AsRef<str>],
        arguments: &[Expr],
        piped: Option<Value>,
    ) -> Done<Value> {
        let whole = text(expression);
        let mut value = start;
        let mut given = Vec::new();
        for argument in arguments {
            given.push(self.argument(dot, argument)?);
        }
        given.extend(piped);
        if names.is_empty() && !given.is_empty() {
            let sentence = format!("can't give argument to non-function {whole}");
            return Err(self.error(expression.pos(), &whole, sentence));
        }
        let mut names = names.iter().peekable();
        while let Some(name) = names.next() {
            let name = name.as_ref();
            let given =
                if names.peek().is_none() { std::mem::take(&mut given) } else { Vec::new() };
            value = field(&value, name, &given)
                .map_err(|sentence| self.error(chain_pos(expression), &whole, sentence))?;
        }
        Ok(value)
    }

    fn function(
        &mut self,
        dot: &Value,
        pos: Pos,
        name: &str,
        arguments: &[Expr],
        piped: Option<Value>,
    ) -> Done<Value> {
        // These two look at no more arguments than they must.
        if name == "and" || name == "or" {
            let mut value = Value::Nothing;
            for argument in arguments {
                value = self.argument(dot, argument)?;
                if value.is_true() == (name == "or") {
                    return Ok(value);
                }
            }
            return Ok(piped.unwrap_or(value));
        }
        let mut given = Vec::new();
        for argument in arguments {
            given.push(self.argument(dot, argument)?);
        }
        given.extend(piped);
        funcs::call(name, &given).map_err(|sentence| {
            let words = std::iter::once(name.to_owned()).chain(arguments.iter().map(text));
            let whole = words.collect::<Vec<_>>().join(" ");
            self.error(pos, &whole, format!("error calling {name}: {sentence}"))
        })
    }

    /// Go's sentence about an error while executing.
    fn error(&self, pos: Pos, at: &str, sentence: String) -> Stop {
        let source = self.program.source;
        let before = source.get(..pos.offset).unwrap_or(source);
        let line = before.matches('\n').count().saturating_add(1);
        let column = before.rsplit('\n').next().unwrap_or_default().len();
        let name = self.program.name;
        Stop::Error(format!(
            "template: {name}:{line}:{column}: executing \"{name}\" at <{at}>: {sentence}"
        ))
    }
}

/// A field, a key or a method of a value.
fn field(value: &Value, name: &str, arguments: &[Value]) -> Result<Value, String> {
    if let Some(result) = funcs::method(value, name, arguments) {
        return result;
    }
    let found = match value {
        Value::Struct(structure) => structure.field(name).cloned(),
        Value::Map(map, ..) => Some(map.get(name).cloned().unwrap_or(Value::Nothing)),
        Value::Nothing => return Err(format!("nil data; no entry for key {name:?}")),
        _ => None,
    };
    match found {
        Some(_) if !arguments.is_empty() => {
            Err(format!("{name} has arguments but cannot be invoked as function"))
        }
        Some(value) => Ok(value),
        None => Err(format!("can't evaluate field {name} in type {}", value.type_name())),
    }
}
