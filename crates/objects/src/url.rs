//! Names of places in buckets.

use std::fmt;

/// Whose store it is, and so which protocol it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cloud {
    /// Amazon S3 and all that speak like it.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

impl Cloud {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::S3, Self::Google, Self::Azure];

    /// Returns what the names of its places begin with.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3://",
            Self::Google => "gs://",
            Self::Azure => "az://",
        }
    }
}

/// A place in a bucket: `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`,
/// `az://ACCOUNT/CONTAINER/PREFIX`.
///
/// Two texts for the same place are the same value; printing gives a text that parses to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BucketUrl {
    cloud: Cloud,
    /// The storage account, which only Azure has in its names.
    account: Option<String>,
    bucket: String,
    /// Without slashes at its ends; empty for the whole bucket.
    prefix: String,
}

/// Why a text names no place in a bucket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It begins with none of the schemes.
    #[error("{0:?} is not a place in an object store: it must begin with s3://, gs:// or az://")]
    Scheme(String),
    /// The bucket has no name.
    #[error("{0:?} names no bucket, expected s3://BUCKET/PREFIX or gs://BUCKET/PREFIX")]
    Bucket(String),
    /// The account or the container has no name.
    #[error("{0:?} names no container, expected az://ACCOUNT/CONTAINER/PREFIX")]
    Container(String),
    /// A name in it is none.
    #[error("{text:?} is not a place in an object store: {part:?} is not a valid name")]
    Part {
        /// The whole text.
        text: String,
        /// What is wrong.
        part: String,
    },
}

impl BucketUrl {
    /// Returns whether a text is meant to name a place in a bucket.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        Cloud::ALL.iter().any(|cloud| text.starts_with(cloud.scheme()))
    }

    /// Parses the name of a place.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let scheme = |cloud: &Cloud| Some((*cloud, text.strip_prefix(cloud.scheme())?));
        let found = Cloud::ALL.iter().find_map(scheme);
        let (cloud, rest) = found.ok_or_else(|| UrlError::Scheme(text.to_owned()))?;
        let mut parts = rest.trim_end_matches('/').split('/');
        let mut next = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
        let (account, bucket) = match cloud {
            Cloud::Azure => match next() {
                Some(account) => (Some(account), next()),
                None => (None, None),
            },
            Cloud::S3 | Cloud::Google => (None, next()),
        };
        let bucket = bucket.ok_or_else(|| match cloud {
            Cloud::Azure => UrlError::Container(text.to_owned()),
            Cloud::S3 | Cloud::Google => UrlError::Bucket(text.to_owned()),
        })?;
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        for name in account.iter().chain([&bucket]) {
            if !name.chars().all(is_host) || name.starts_with(['.', '-']) {
                return Err(UrlError::Part { text: text.to_owned(), part: name.clone() });
            }
        }
        let parts: Vec<&str> = parts.collect();
        // What is more than these, some stores and some ways to them write otherwise.
        let is_key = |c: char| c.is_ascii_alphanumeric() || "-._+=@,~!()".contains(c);
        for part in &parts {
            if part.is_empty() || ["..", "."].contains(part) || !part.chars().all(is_key) {
                let (text, part) = (text.to_owned(), (*part).to_owned());
                return Err(UrlError::Part { text, part });
            }
        }
        Ok(Self { cloud, account, bucket, prefix: parts.join("/") })
    }

    /// Returns whose store it is in.
    #[must_use]
    pub fn cloud(&self) -> Cloud {
        self.cloud
    }

    /// Returns the storage account, where the name has one.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// Returns the bucket, or the container.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Returns what all keys of the place begin with, without a slash at the end; may be empty.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns the last part of the name.
    #[must_use]
    pub fn last(&self) -> &str {
        match self.prefix.rsplit('/').next() {
            Some(last) if !last.is_empty() => last,
            _ => &self.bucket,
        }
    }

    /// Returns all places above this one up to its bucket, nearest first.
    #[must_use]
    pub fn parents(&self) -> Vec<String> {
        let mut place = self.clone();
        let mut parents = Vec::new();
        while !place.prefix.is_empty() {
            let above = place.prefix.rsplit_once('/').map_or("", |(above, _)| above).to_owned();
            place.prefix = above;
            parents.push(place.to_string());
        }
        parents
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.cloud.scheme())?;
        if let Some(account) = &self.account {
            write!(f, "{account}/")?;
        }
        f.write_str(&self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_print_as_they_parse() {
        for (text, printed) in [
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
            ("gs://my.bucket_1/mirror", "gs://my.bucket_1/mirror"),
            ("az://account/container", "az://account/container"),
            ("az://account/container/a/b", "az://account/container/a/b"),
        ] {
            let place = BucketUrl::parse(text).unwrap();
            assert_eq!(place.to_string(), printed);
            assert_eq!(BucketUrl::parse(printed).unwrap(), place);
        }
        let place = BucketUrl::parse("az://account/container/a/b").unwrap();
        assert_eq!(place.parents(), ["az://account/container/a", "az://account/container"]);
        assert_eq!(place.last(), "b");
        assert_eq!(BucketUrl::parse("s3://bucket").unwrap().last(), "bucket");
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for text in [
            "s3:/x",
            "/s3://bucket",
            "s3://",
            "s3:///prefix",
            "gs://",
            "az://account",
            "az://account/",
            "az:///container",
            "s3://buc ket",
            "s3://-bucket",
            "s3://user:pass@host",
            "s3://bucket//a",
            "s3://bucket/a/../b",
            "s3://bucket/./b",
            "s3://bucket/a?b",
            "s3://bucket/a%2fb",
            "s3://bucket/ä",
        ] {
            assert!(BucketUrl::parse(text).is_err(), "{text}");
        }
    }
}
