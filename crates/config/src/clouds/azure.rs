//! Azure Blob Storage.

use super::CloudSettings;
use crate::{Environment, Error};

/// What says who asks, and no account.
const VARIABLES: &[(&str, &str)] = &[
    ("AZURE_CLIENT_ID", "azure_client_id"),
    ("AZURE_CLIENT_SECRET", "azure_client_secret"),
    ("AZURE_TENANT_ID", "azure_tenant_id"),
    ("AZURE_FEDERATED_TOKEN_FILE", "azure_federated_token_file"),
    ("AZURE_AUTHORITY_HOST", "azure_authority_host"),
    ("IDENTITY_ENDPOINT", "azure_identity_endpoint"),
    ("AZURE_SKIP_SIGNATURE", "azure_skip_signature"),
];

pub(super) fn read(environment: &Environment, account: &str) -> Result<CloudSettings, Error> {
    let mut found = CloudSettings::default();
    let text = |name| environment.text(name);
    for (variable, name) in VARIABLES {
        found.say(name, text(variable));
    }
    if let Some(connection) = text("AZURE_STORAGE_CONNECTION_STRING") {
        read_connection(&mut found, &connection, account)?;
    }
    // Keys are those of one account, and no other gets to see them.
    let named = text("AZURE_STORAGE_ACCOUNT").or_else(|| text("AZURE_STORAGE_ACCOUNT_NAME"));
    if named.is_none_or(|named| named == account) {
        for variable in
            ["AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY"]
        {
            found.say("azure_storage_account_key", text(variable));
        }
        found.say("azure_storage_sas_token", text("AZURE_STORAGE_SAS_TOKEN"));
        found.say("azure_storage_endpoint", text("AZURE_STORAGE_BLOB_ENDPOINT"));
        found.say("azure_storage_endpoint", text("AZURE_STORAGE_ENDPOINT"));
    }
    Ok(found)
}

/// What a connection string says, if it is one of this account.
fn read_connection(found: &mut CloudSettings, text: &str, account: &str) -> Result<(), Error> {
    let said = |name: &str| {
        let parts = text.split(';').filter_map(|part| part.split_once('='));
        let mut parts = parts.filter(|(known, _)| known.trim().eq_ignore_ascii_case(name));
        parts.next().map(|(_, value)| value.trim().to_owned())
    };
    if said("UseDevelopmentStorage").as_deref() == Some("true") {
        let wrong = "UseDevelopmentStorage in AZURE_STORAGE_CONNECTION_STRING says neither key nor \
                     address: write out AccountName, AccountKey and BlobEndpoint";
        return Err(Error::Invalid(wrong.to_owned()));
    }
    let endpoint = said("BlobEndpoint");
    let of_this = match said("AccountName") {
        Some(name) => name == account,
        // One with a shared access signature need not say the account but in its address.
        None => endpoint.as_ref().is_some_and(|it| {
            it.contains(&format!("//{account}.")) || it.trim_end_matches('/').ends_with(account)
        }),
    };
    if !of_this {
        return Ok(());
    }
    found.say("azure_storage_account_key", said("AccountKey"));
    found.say("azure_storage_sas_token", said("SharedAccessSignature"));
    let made = said("EndpointSuffix").map(|suffix| {
        let protocol = said("DefaultEndpointsProtocol").unwrap_or_else(|| "https".to_owned());
        format!("{protocol}://{account}.blob.{suffix}")
    });
    let endpoint = endpoint.or(made).map(|it| it.trim_end_matches('/').to_owned());
    found.say("azure_storage_endpoint", endpoint);
    Ok(())
}
