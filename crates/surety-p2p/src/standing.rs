//! How peers behave, and what that costs them.

/// What a peer can do wrong. The node reports what only it can see ([`crate::Handle::report`]), the network the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// Bytes that are no message.
    Malformed,
    /// A message whose content is false in a way an honest node's never is: a wrong signature, another's name.
    Forged,
    /// A message of somebody who may not send it.
    NotAMember,
    /// More than its rate.
    Flood,
    /// It doesn't read what it is sent.
    Slow,
    /// Useless but harmless: repeated, late, not asked for.
    Useless,
}

impl Misbehaviour {
    /// What one instance weighs; [`crate::Config::ban_at`] in all is a ban.
    pub const fn weight(self) -> f64 {
        match self {
            Self::Forged => 50.0,
            Self::Malformed => 20.0,
            Self::Slow => 10.0,
            Self::NotAMember => 5.0,
            Self::Useless => 1.0,
            Self::Flood => 0.1,
        }
    }
}
