//! What trust is decided about.

/// A name as `policy.json` sees it: the transport and the scopes to look up, most specific first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyScope {
    /// The name as users write it, for errors.
    pub name: String,
    /// The key under `transports`, such as `docker` or `dir`.
    pub transport: &'static str,
    /// The most specific scope: the name itself. Empty where the transport has none.
    pub identity: String,
    /// Wider scopes, in the order in which they are tried after the identity.
    pub namespaces: Vec<String>,
    /// The docker reference that signatures are matched against, where the name is one.
    pub reference: Option<String>,
}
