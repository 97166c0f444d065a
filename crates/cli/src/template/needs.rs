//! Whether a template looks at a field: what nobody looks at need not be asked for.

use gotmpl::parse::{BranchNode, Expr, ListNode, Node, PipeNode};

/// What the dot is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dot {
    /// The list of all data, which `{{range .}}` goes through.
    All,
    /// The data itself: who prints it prints every field.
    Data,
    /// Something inside it.
    Inner,
}

/// Whether running the template may look at the field. In doubt it does.
pub(super) fn looks_at(body: &ListNode, field: &str) -> bool {
    list(body, field, Dot::All)
}

fn list(body: &ListNode, field: &str, dot: Dot) -> bool {
    body.nodes.iter().any(|node| match node {
        Node::List(body) => list(body, field, dot),
        Node::Action(action) => pipe(&action.pipe, field, dot),
        Node::If(branch) => {
            pipe(&branch.pipe, field, dot)
                || list(&branch.body, field, dot)
                || branch.else_body.as_ref().is_some_and(|body| list(body, field, dot))
        }
        Node::Range(branch) | Node::With(branch) => inside(branch, field, dot),
        // What a defined template does with its data is not followed.
        Node::Template(call) => call.pipe.is_some(),
        Node::Define(define) => list(&define.body, field, Dot::Data),
        Node::Text(_) | Node::Break(_) | Node::Continue(_) => false,
    })
}

fn inside(branch: &BranchNode, field: &str, dot: Dot) -> bool {
    let through_all = dot == Dot::All && is_dot(&branch.pipe) && branch.pipe.decl.is_empty();
    let inner = if through_all { Dot::Data } else { Dot::Inner };
    !through_all && pipe(&branch.pipe, field, dot)
        || list(&branch.body, field, inner)
        || branch.else_body.as_ref().is_some_and(|body| list(body, field, dot))
}

fn is_dot(pipe: &PipeNode) -> bool {
    matches!(pipe.commands.as_slice(), [command] if matches!(command.args.as_slice(), [Expr::Dot(_)]))
}

fn pipe(pipe: &PipeNode, field: &str, dot: Dot) -> bool {
    let mut expressions = pipe.commands.iter().flat_map(|command| &command.args);
    expressions.any(|expression| looks(expression, field, dot))
}

fn looks(expression: &Expr, field: &str, dot: Dot) -> bool {
    match expression {
        Expr::Dot(_) => dot != Dot::Inner,
        Expr::Field(_, names) => names.iter().any(|name| name == field),
        Expr::Variable(_, name, names) => name == "$" || names.iter().any(|name| name == field),
        Expr::Chain(_, inner, names) => {
            names.iter().any(|name| name == field) || looks(inner, field, dot)
        }
        Expr::Pipe(_, inner) => pipe(inner, field, dot),
        _ => false,
    }
}
