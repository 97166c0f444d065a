//! What the user may do about a certificate that is not believed.

use std::fmt::Write as _;

use skopeo_x509::Refused;

/// What the user may do about it. `server` is `host:port`, `folders` are where an authority's
/// certificate may be put.
pub(super) fn hint(why: &Refused, server: &str, host: &str, folders: Option<&str>) -> String {
    let mut hint = format!("the certificate of {server} ");
    let _ = match why {
        Refused::Expired { now, until } => {
            write!(hint, "has expired: it was valid until {until}; this machine's clock says {now}")
        }
        Refused::Early { now, from } => {
            write!(hint, "is valid from {from} on; this machine's clock says {now}")
        }
        Refused::Name { names, .. } if names.is_empty() => {
            write!(hint, "names no host, so it is not for {host}")
        }
        Refused::Name { names, .. } => {
            write!(hint, "is for {}, not for {host}", names.join(", "))
        }
        Refused::Usage { called } if called.is_empty() => write!(hint, "is not for servers"),
        Refused::Usage { called } => {
            write!(hint, "or of its authority is for {}, not for servers", called.join(", "))
        }
        Refused::Critical { extensions } => write!(
            hint,
            "has a critical extension that this program does not support: {}",
            extensions.join(", ")
        ),
        Refused::UnknownAuthority { because: Some(because) } => {
            return hint_of_authority(&because.0, server, &because.1);
        }
        Refused::UnknownAuthority { because: None } => match folders {
            Some(folders) => {
                let _ = write!(
                    hint,
                    "is not trusted; put the certificate of its authority as ca.crt into {folders}, or use --tls-verify=false to accept any certificate"
                );
                return hint;
            }
            None => write!(hint, "is not trusted"),
        },
        _ => write!(hint, "is not trusted"),
    };
    hint.push_str("; --tls-verify=false accepts any certificate");
    hint
}

fn hint_of_authority(why: &Refused, server: &str, name: &str) -> String {
    let why = match why {
        Refused::Expired { now, until } => format!(
            "which has expired: it was valid until {until}; this machine's clock says {now}"
        ),
        Refused::Early { now, from } => {
            format!("which is valid from {from} on; this machine's clock says {now}")
        }
        Refused::CannotSign | Refused::NoAuthority => "which is not an authority".to_owned(),
        Refused::Signature(_) => "whose key did not sign it".to_owned(),
        Refused::Algorithm(_) => "with a signature algorithm that is no longer trusted".to_owned(),
        Refused::Constraint(_) => "which may not issue certificates for this name".to_owned(),
        _ => "which may not issue it".to_owned(),
    };
    format!(
        "the certificate of {server} was issued by {name:?}, {why}; --tls-verify=false \
             accepts any certificate"
    )
}
