//! Expressions as Go shows them in errors.

use gotmpl::parse::{Expr, Number, PipeNode, Pos};

/// Where Go says a chain of fields is: at its second.
pub(super) fn chain_pos(expression: &Expr) -> Pos {
    match expression {
        Expr::Field(pos, names) => match names.as_slice() {
            [first, _, ..] => {
                let offset = pos.offset.saturating_add(1).saturating_add(first.len());
                Pos::new(offset, pos.line)
            }
            _ => *pos,
        },
        other => other.pos(),
    }
}

/// An expression as Go shows it in errors.
pub(super) fn text(expression: &Expr) -> String {
    let fields = |names: &[_]| names.iter().map(|name| format!(".{name}")).collect::<String>();
    match expression {
        Expr::Dot(_) => ".".to_owned(),
        Expr::Field(_, names) => fields(names),
        Expr::Variable(_, name, names) => format!("{name}{}", fields(names)),
        Expr::Identifier(_, name) => name.to_string(),
        Expr::String(_, text) => format!("{text:?}"),
        Expr::Number(_, Number::Int(number)) => number.to_string(),
        Expr::Number(_, Number::Uint(number)) => number.to_string(),
        Expr::Number(_, Number::Float(number)) => number.to_string(),
        Expr::Bool(_, truth) => truth.to_string(),
        Expr::Nil(_) => "nil".to_owned(),
        Expr::Pipe(_, pipe) => format!("({})", pipe_text(pipe)),
        Expr::Chain(_, inner, names) => format!("{}{}", text(inner), fields(names)),
    }
}

pub(super) fn pipe_text(pipe: &PipeNode) -> String {
    let commands = pipe.commands.iter();
    let commands: Vec<String> = commands
        .map(|command| command.args.iter().map(text).collect::<Vec<_>>().join(" "))
        .collect();
    commands.join(" | ")
}
