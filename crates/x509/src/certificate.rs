//! What a certificate says of itself (RFC 5280), as Go's x509 takes it. Nothing here is verified.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, NameConstraints, ParsedExtension, X509Extension};
use x509_parser::oid_registry::Oid;
use x509_parser::prelude::FromDer;
use x509_parser::x509::{AttributeTypeAndValue, X509Version};

/// Critical extensions that Go knows, below `2.5.29`.
const KNOWN: &[u64] = &[14, 15, 17, 19, 30, 31, 32, 33, 35, 36, 37, 54];

/// Those that decide: usages of the key, names, authority, constraints, usages.
const ESSENTIAL: &[u64] = &[15, 17, 19, 30, 37];

/// `authorityInfoAccess`, the other one.
const AUTHORITY_INFORMATION: &str = "1.3.6.1.5.5.7.1.1";

/// What a certificate says of itself.
#[derive(Clone, Debug)]
pub struct Certificate<'a> {
    /// All of it.
    pub der: &'a [u8],
    /// The issuer's name, encoded.
    pub issuer: &'a [u8],
    /// Its own name, encoded.
    pub subject: &'a [u8],
    /// What people call it.
    pub called: String,
    /// The name of the subject that hosts once had, before there were alternative names.
    pub common_name: Option<String>,
    /// The public key, encoded.
    pub key: &'a [u8],
    /// In seconds since 1970.
    pub not_before: i64,
    /// In seconds since 1970; this second is still within.
    pub not_after: i64,
    /// Whether it says that it is an authority; none if it does not say.
    pub authority: Option<bool>,
    /// How many authorities may stand between it and a server, if that is limited.
    pub path_length: Option<u32>,
    /// Whether it may sign others, as far as its key's usage is told.
    pub signs: bool,
    /// Whether it is of version 3, and so could say that it is an authority.
    pub is_v3: bool,
    /// What it is for; none if it does not say.
    pub usages: Option<Usages>,
    /// What it is a certificate of.
    pub names: Names<'a>,
    /// Which names the certificates below it may have.
    pub constraints: Option<NameConstraints<'a>>,
    /// What must be understood of it and is not.
    pub unhandled: Vec<String>,
}

/// `extendedKeyUsage`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usages {
    /// Whether a server is among them.
    pub server: bool,
    /// Whether signing code is among them.
    pub code_signing: bool,
    /// Whether stamping times is among them.
    pub time_stamping: bool,
    /// Their names, or their numbers.
    pub called: Vec<String>,
}

/// `subjectAltName`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names<'a> {
    /// Whether there is such an extension at all.
    pub given: bool,
    /// Hosts.
    pub dns: Vec<&'a str>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
    /// Mail addresses.
    pub mail: Vec<&'a str>,
    /// URIs.
    pub uris: Vec<&'a str>,
}

impl<'a> Certificate<'a> {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(der: &'a [u8]) -> Result<Self, String> {
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|error| match error {
            x509_parser::nom::Err::Incomplete(_) => "it is cut short".to_owned(),
            x509_parser::nom::Err::Error(error) | x509_parser::nom::Err::Failure(error) => {
                error.to_string()
            }
        })?;
        if !rest.is_empty() {
            return Err("trailing data".to_owned());
        }
        let tbs = &parsed.tbs_certificate;
        let text = |value: Option<&AttributeTypeAndValue<'_>>| {
            value.and_then(|value| value.as_str().ok()).map(str::to_owned)
        };
        let common_name = text(tbs.subject.iter_common_name().next());
        let called = common_name
            .clone()
            .filter(|name| !name.is_empty())
            .or_else(|| text(tbs.subject.iter_organization().next()))
            .unwrap_or_else(|| format!("serial:{}", tbs.serial));
        let mut made = Self {
            der,
            issuer: tbs.issuer.as_raw(),
            subject: tbs.subject.as_raw(),
            called,
            common_name,
            key: tbs.subject_pki.raw,
            not_before: tbs.validity.not_before.timestamp(),
            not_after: tbs.validity.not_after.timestamp(),
            authority: None,
            path_length: None,
            signs: true,
            is_v3: tbs.version == X509Version::V3,
            usages: None,
            names: Names::default(),
            constraints: None,
            unhandled: Vec::new(),
        };
        let mut seen: Vec<&Oid<'_>> = Vec::new();
        for extension in tbs.extensions() {
            if seen.contains(&&extension.oid) {
                return Err(format!("it has the extension {} twice", extension.oid));
            }
            seen.push(&extension.oid);
            let known = made
                .take(extension.parsed_extension())
                .map_err(|what| format!("its extension {} {what}", extension.oid))?;
            if !known && is_one_of(&extension.oid, ESSENTIAL) && is_broken(extension) {
                return Err(format!("its extension {} cannot be read", extension.oid));
            }
            if extension.critical && !(known && is_known(&extension.oid)) {
                made.unhandled.push(extension.oid.to_string());
            }
        }
        Ok(made)
    }

    /// Takes in an extension; false if not all of it has been understood.
    fn take(&mut self, extension: &ParsedExtension<'a>) -> Result<bool, &'static str> {
        match extension {
            ParsedExtension::ParseError { .. } => return Ok(false),
            ParsedExtension::BasicConstraints(basic) => {
                self.authority = Some(basic.ca);
                self.path_length = basic.path_len_constraint;
            }
            ParsedExtension::KeyUsage(usage) => {
                self.signs = usage.flags == 0 || usage.key_cert_sign();
            }
            ParsedExtension::ExtendedKeyUsage(usage) => self.usages = Some(usages(usage)),
            ParsedExtension::SubjectAlternativeName(names) => {
                self.names.take(&names.general_names)?;
                let names = &self.names;
                return Ok(!(names.dns.is_empty()
                    && names.addresses.is_empty()
                    && names.mail.is_empty()
                    && names.uris.is_empty()));
            }
            ParsedExtension::NameConstraints(constraints) => {
                self.constraints = Some(constraints.clone());
                let mut trees = [&constraints.permitted_subtrees, &constraints.excluded_subtrees]
                    .into_iter()
                    .flatten()
                    .flatten();
                return Ok(trees.all(|tree| {
                    matches!(
                        tree.base,
                        GeneralName::DNSName(_)
                            | GeneralName::IPAddress(_)
                            | GeneralName::RFC822Name(_)
                            | GeneralName::URI(_)
                    )
                }));
            }
            _ => {}
        }
        Ok(true)
    }

    /// Returns the value of an extension, by its number; nothing if it cannot be read any more.
    #[must_use]
    pub fn extension(&self, number: &str) -> Option<Vec<u8>> {
        let (_, parsed) = X509Certificate::from_der(self.der).ok()?;
        let mut all = parsed.tbs_certificate.extensions().iter();
        all.find(|it| it.oid.to_id_string() == number).map(|it| it.value.to_vec())
    }

    /// Returns whether it says that it is an authority, or cannot say it and need not.
    #[must_use]
    pub fn may_be_an_authority(&self) -> bool {
        match self.authority {
            Some(authority) => authority,
            None => !self.is_v3,
        }
    }
}

impl<'a> Names<'a> {
    fn take(&mut self, names: &[GeneralName<'a>]) -> Result<(), &'static str> {
        self.given = true;
        for name in names {
            match name {
                GeneralName::DNSName(name) => self.dns.push(name),
                GeneralName::RFC822Name(name) => self.mail.push(name),
                GeneralName::URI(name) => self.uris.push(name),
                GeneralName::IPAddress(bytes) => self.addresses.push(
                    <[u8; 4]>::try_from(*bytes)
                        .map(IpAddr::from)
                        .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from))
                        .map_err(|_| "has an invalid address")?,
                ),
                GeneralName::Invalid(..) => return Err("has an invalid name"),
                _ => {}
            }
        }
        Ok(())
    }
}

fn usages(found: &x509_parser::extensions::ExtendedKeyUsage<'_>) -> Usages {
    let named = [
        (found.any, "any purpose"),
        (found.server_auth, "servers"),
        (found.client_auth, "clients"),
        (found.code_signing, "code signing"),
        (found.email_protection, "mail"),
        (found.time_stamping, "time stamps"),
        (found.ocsp_signing, "OCSP"),
    ];
    let named = named.iter().filter(|(said, _)| *said).map(|(_, name)| (*name).to_owned());
    let called = named.chain(found.other.iter().map(ToString::to_string)).collect();
    Usages {
        server: found.any || found.server_auth,
        code_signing: found.any || found.code_signing,
        time_stamping: found.any || found.time_stamping,
        called,
    }
}

fn is_broken(extension: &X509Extension<'_>) -> bool {
    matches!(extension.parsed_extension(), ParsedExtension::ParseError { .. })
}

/// Whether this is one of these below `2.5.29`.
fn is_one_of(oid: &Oid<'_>, numbers: &[u64]) -> bool {
    let text = oid.to_id_string();
    let below = text.strip_prefix("2.5.29.").and_then(|last| last.parse::<u64>().ok());
    below.is_some_and(|last| numbers.contains(&last))
}

fn is_known(oid: &Oid<'_>) -> bool {
    is_one_of(oid, KNOWN) || oid.to_id_string() == AUTHORITY_INFORMATION
}
