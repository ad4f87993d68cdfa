//! Who a client is: tokens, tickets, scopes.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tickwire::Nanos;

use crate::protocol::{Code, ErrorBody, Scope};

/// A ticket is good for so long. It may be read in an access log: by then it is worthless.
pub const TICKET_LIFE: Nanos = Nanos::from_secs(30);

/// Tickets that wait to be used.
const TICKETS_MAX: usize = 1_024;

/// Something that must not be seen: it prints as dots. [`expose`](Secret::expose) gives the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, to be handed to whom it belongs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The system gave no randomness: no secret can be made.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no randomness: {0}")]
pub struct NoRandomness(getrandom::Error);

fn random_hex<const BYTES: usize>() -> Result<String, NoRandomness> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(hex(&bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// What a new token is to allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whose it is.
    pub user: String,
    /// What it allows.
    pub scopes: BTreeSet<Scope>,
    /// On which projects; `None` is all of them.
    pub projects: Option<BTreeSet<String>>,
    /// When it expires; `None` never.
    pub expires: Option<Nanos>,
}

impl Grant {
    /// Everything on every project, for ever.
    pub fn all(user: impl Into<String>) -> Grant {
        Grant {
            user: user.into(),
            scopes: Scope::ALL.into(),
            projects: None,
            expires: None,
        }
    }

    /// These scopes alone.
    pub fn scopes(mut self, scopes: impl IntoIterator<Item = Scope>) -> Grant {
        self.scopes = scopes.into_iter().collect();
        self
    }

    /// These projects alone.
    pub fn projects<'a>(mut self, projects: impl IntoIterator<Item = &'a str>) -> Grant {
        self.projects = Some(projects.into_iter().map(str::to_owned).collect());
        self
    }

    /// Until then.
    pub fn until(mut self, expires: Nanos) -> Grant {
        self.expires = Some(expires);
        self
    }
}

/// A token as it is kept: the secret's hash, not the secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TokenRecord {
    pub(crate) id: String,
    /// SHA-256 of the secret. It has 256 random bits, so that no slow hash is needed.
    hash: [u8; 32],
    user: String,
    scopes: BTreeSet<Scope>,
    projects: Option<BTreeSet<String>>,
    expires_ns: Option<i64>,
    pub(crate) revoked: bool,
}

/// Who a client is, once it has shown a token or a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The token behind it.
    pub token: String,
    /// The user.
    pub user: String,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// On which projects; `None` is all of them.
    pub projects: Option<BTreeSet<String>>,
    /// Until when.
    pub expires: Option<Nanos>,
}

impl Identity {
    /// Whether it may do what needs this scope.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Whether it may see and touch this project.
    pub fn may_on(&self, project: &str) -> bool {
        self.projects
            .as_ref()
            .is_none_or(|projects| projects.contains(project))
    }

    pub(crate) fn is_expired(&self, now: Nanos) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }

    pub(crate) fn scope_names(&self) -> Vec<String> {
        let names = self.scopes.iter().map(|scope| scope.as_str().to_owned());
        names.collect()
    }
}

/// Why a client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It showed nothing.
    #[error("show a token or a ticket")]
    Required,
    /// It is not known, was used before, or was revoked. Which of these is not told.
    #[error("the token or ticket is not valid")]
    Invalid,
    /// It was good and has expired.
    #[error("the token has expired")]
    Expired,
}

impl From<AuthError> for ErrorBody {
    fn from(error: AuthError) -> ErrorBody {
        let code = match error {
            AuthError::Required => Code::AuthRequired,
            AuthError::Invalid => Code::AuthInvalid,
            AuthError::Expired => Code::TokenExpired,
        };
        ErrorBody::new(code, error.to_string())
    }
}

/// What a client shows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Shown {
    Nothing,
    Token(String),
    Ticket(String),
}

/// All tokens and tickets.
#[derive(Debug, Default)]
pub(crate) struct Auth {
    tokens: HashMap<String, TokenRecord>,
    /// By the hash of the ticket.
    tickets: HashMap<[u8; 32], (Identity, Nanos)>,
}

impl Auth {
    pub(crate) fn load(records: impl IntoIterator<Item = TokenRecord>) -> Auth {
        Auth {
            tokens: records
                .into_iter()
                .map(|record| (record.id.clone(), record))
                .collect(),
            tickets: HashMap::new(),
        }
    }

    /// Makes a token: `tw_ID_SECRET`. Gives it and what is to be kept of it.
    pub(crate) fn issue(&mut self, grant: Grant) -> Result<(Secret, TokenRecord), NoRandomness> {
        let (id, secret) = (random_hex::<8>()?, random_hex::<32>()?);
        let record = TokenRecord {
            id: id.clone(),
            hash: sha256(secret.as_bytes()),
            user: grant.user,
            scopes: grant.scopes,
            projects: grant.projects,
            expires_ns: grant.expires.map(|at| at.0),
            revoked: false,
        };
        self.tokens.insert(id.clone(), record.clone());
        Ok((Secret(format!("tw_{id}_{secret}")), record))
    }

    /// Revokes a token by its id, with all tickets that were made with it.
    pub(crate) fn revoke(&mut self, id: &str) -> Option<TokenRecord> {
        self.tickets.retain(|_, (identity, _)| identity.token != id);
        let record = self.tokens.get_mut(id)?;
        record.revoked = true;
        Some(record.clone())
    }

    /// The id in a token's text.
    pub(crate) fn id_of(token: &str) -> Option<&str> {
        token.strip_prefix("tw_")?.split_once('_').map(|(id, _)| id)
    }

    /// Whose token it is. The id is looked up; the secret is compared by its hash in constant time.
    pub(crate) fn token(&self, token: &str, now: Nanos) -> Result<Identity, AuthError> {
        let (id, secret) = token
            .strip_prefix("tw_")
            .and_then(|rest| rest.split_once('_'))
            .ok_or(AuthError::Invalid)?;
        let record = self.tokens.get(id);
        // An unknown id costs the same as a wrong secret.
        let expected = record.map_or([0; 32], |record| record.hash);
        let is_right: bool = sha256(secret.as_bytes()).ct_eq(&expected).into();
        let record = record.filter(|_| is_right).ok_or(AuthError::Invalid)?;
        if record.revoked {
            return Err(AuthError::Invalid);
        }
        let identity = Identity {
            token: record.id.clone(),
            user: record.user.clone(),
            scopes: record.scopes.clone(),
            projects: record.projects.clone(),
            expires: record.expires_ns.map(Nanos),
        };
        if identity.is_expired(now) {
            return Err(AuthError::Expired);
        }
        Ok(identity)
    }

    /// Makes a ticket that lets one connection in as `identity`, once.
    pub(crate) fn ticket(&mut self, identity: Identity, now: Nanos) -> Result<Secret, TicketError> {
        self.tickets.retain(|_, (_, expires)| now < *expires);
        if self.tickets.len() >= TICKETS_MAX {
            return Err(TicketError::TooMany);
        }
        let ticket = random_hex::<32>()?;
        let hash = sha256(ticket.as_bytes());
        self.tickets.insert(hash, (identity, now + TICKET_LIFE));
        Ok(Secret(ticket))
    }

    /// Lets a client in. A ticket is used up by this.
    pub(crate) fn admit(&mut self, shown: &Shown, now: Nanos) -> Result<Identity, AuthError> {
        match shown {
            Shown::Nothing => Err(AuthError::Required),
            Shown::Token(token) => self.token(token, now),
            Shown::Ticket(ticket) => {
                // By hash: how long the look-up takes tells nothing of the ticket.
                let (identity, expires) = self
                    .tickets
                    .remove(&sha256(ticket.as_bytes()))
                    .ok_or(AuthError::Invalid)?;
                if now >= expires {
                    return Err(AuthError::Invalid);
                }
                if identity.is_expired(now) {
                    return Err(AuthError::Expired);
                }
                Ok(identity)
            }
        }
    }
}

/// No ticket could be made.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// Too many wait to be used.
    #[error("{TICKETS_MAX} tickets wait to be used")]
    TooMany,
    /// The system gives none.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Nanos = Nanos::from_secs(1_000);

    #[test]
    fn a_token_lets_in_until_it_expires_or_is_revoked() {
        let mut auth = Auth::default();
        let grant = Grant::all("ann")
            .scopes([Scope::Read])
            .projects(["p1"])
            .until(NOW + Nanos::from_secs(10));
        let (secret, record) = auth.issue(grant).expect("randomness");
        let token = secret.expose().to_owned();
        let identity = auth.token(&token, NOW).expect("good");
        assert!(identity.may(Scope::Read) && !identity.may(Scope::Trade));
        assert!(identity.may_on("p1") && !identity.may_on("p2"));
        assert!(!format!("{secret:?} {record:?}").contains(secret.expose()));
        assert_eq!(
            auth.token(&token, NOW + Nanos::from_secs(10)),
            Err(AuthError::Expired)
        );
        let mut wrong = token.clone();
        wrong.replace_range(
            wrong.len() - 1..,
            if wrong.ends_with('0') { "1" } else { "0" },
        );
        let bad = [
            "",
            "tw_",
            "tw_x",
            "tw_x_y",
            wrong.as_str(),
            &token[..token.len() - 1],
        ];
        for bad in bad {
            assert_eq!(auth.token(bad, NOW), Err(AuthError::Invalid), "{bad:?}");
        }
        auth.revoke(Auth::id_of(&token).expect("an id"));
        assert_eq!(auth.token(&token, NOW), Err(AuthError::Invalid));
    }

    #[test]
    fn a_ticket_lets_in_once_within_30_seconds() {
        let mut auth = Auth::default();
        let (token, _) = auth.issue(Grant::all("ann")).expect("randomness");
        let identity = auth.token(token.expose(), NOW).expect("good");
        let mut ticket = || {
            let secret = auth.ticket(identity.clone(), NOW).expect("room");
            Shown::Ticket(secret.expose().to_owned())
        };
        let (once, late, revoked) = (ticket(), ticket(), ticket());
        assert_eq!(auth.admit(&once, NOW), Ok(identity));
        assert_eq!(auth.admit(&once, NOW), Err(AuthError::Invalid));
        assert_eq!(
            auth.admit(&late, NOW + TICKET_LIFE),
            Err(AuthError::Invalid)
        );
        auth.revoke(Auth::id_of(token.expose()).expect("an id"));
        assert_eq!(auth.admit(&revoked, NOW), Err(AuthError::Invalid));
        assert_eq!(auth.admit(&Shown::Nothing, NOW), Err(AuthError::Required));
    }
}
