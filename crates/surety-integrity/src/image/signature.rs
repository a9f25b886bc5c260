//! The signature gate: a key's signature of the image's digest, in the format of cosign.
//!
//! Beside the image, under the tag `sha256-<digest>.sig`, there is a manifest whose layers are small documents saying
//! "this is the digest of that repository", each with a signature of its bytes (ECDSA on P-256 over SHA-256) in an
//! annotation. There is no transparency log here: the plan names the key, and the plan is on the chain.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use p256::{
    ecdsa::{Signature, SigningKey, VerifyingKey, signature::Signer, signature::Verifier},
    pkcs8::DecodePublicKey,
};
use serde::Deserialize;
use serde_json::json;
use surety_protocol::manifest::container::Image as Reference;

use super::{Cache, Digest, Error, manifest::Document, registry::Registry};

/// Media type of the signed document.
pub const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Annotation that holds the signature in Base64.
pub const ANNOTATION: &str = "dev.cosignproject.cosign/signature";
/// Longest signed document.
const MAX_PAYLOAD: u64 = 64 << 10;
/// Most signatures of an image that are looked at.
const MAX_SIGNATURES: usize = 16;
/// Longest manifest of signatures.
const MAX_MANIFEST: u64 = 1 << 20;

/// The tag that a digest's signatures are under.
pub fn tag(digest: Digest) -> String {
    format!("sha256-{}.sig", digest.hex())
}

/// The document that is signed for a digest of `registry/repository`.
pub fn payload(repository: &str, digest: Digest) -> Vec<u8> {
    json!({
        "critical": {
            "identity": { "docker-reference": repository },
            "image": { "docker-manifest-digest": digest },
            "type": "cosign container image signature",
        },
        "optional": null,
    })
    .to_string()
    .into_bytes()
}

/// Signs a document; the annotation's value.
pub fn sign(key: &SigningKey, payload: &[u8]) -> String {
    let signature: Signature = key.sign(payload);
    STANDARD.encode(signature.to_der())
}

/// Whether one of the digests is signed by the key.
pub(super) async fn check(
    registry: &Registry,
    cache: &Cache,
    reference: &Reference,
    digests: &[Digest],
    key: &str,
) -> Result<(), Error> {
    let asked = *digests.first().ok_or_else(|| Error::Format("no digest".into()))?;
    let key = VerifyingKey::from_public_key_pem(key).map_err(|error| Error::Signature {
        digest: asked,
        problem: format!("the plan's key is no ECDSA key on P-256: {error}"),
    })?;
    let mut problem = "found none".to_owned();
    let mut looked_at: Option<Digest> = None;
    for &digest in digests {
        if looked_at.replace(digest) == Some(digest) {
            continue;
        }
        let manifest = match registry.manifest(&tag(digest), MAX_MANIFEST).await {
            Ok(manifest) => manifest,
            Err(Error::Status { status: 404, .. }) => continue,
            Err(error) => return Err(error),
        };
        let Document::Manifest(manifest) = Document::read(&manifest)? else {
            problem = "found an index; expected a manifest of signatures".into();
            continue;
        };
        for layer in manifest
            .layers
            .iter()
            .filter(|layer| layer.media_type == PAYLOAD)
            .take(MAX_SIGNATURES)
        {
            let Some(signature) = layer.annotations.get(ANNOTATION) else {
                continue;
            };
            if layer.size > MAX_PAYLOAD {
                return Err(Error::TooLarge {
                    what: format!("a signed document of {digest}"),
                    limit: MAX_PAYLOAD,
                });
            }
            let path = cache.blob(registry, layer.digest, layer.size).await?;
            let payload = cache.read(&path, layer.digest, MAX_PAYLOAD).await?;
            match verify(&key, &payload, signature, reference, digest) {
                Ok(()) => return Ok(()),
                Err(found) => problem = found,
            }
        }
    }
    Err(Error::Signature { digest: asked, problem })
}

fn verify(
    key: &VerifyingKey,
    payload: &[u8],
    signature: &str,
    reference: &Reference,
    digest: Digest,
) -> Result<(), String> {
    let der = STANDARD
        .decode(signature.trim())
        .map_err(|_| "found a signature that is no Base64".to_owned())?;
    let signature = Signature::from_der(&der).map_err(|_| "found a signature that is no DER".to_owned())?;
    key.verify(payload, &signature)
        .map_err(|_| "found one that is not of the plan's key".to_owned())?;
    #[derive(Deserialize)]
    struct Document {
        critical: Critical,
    }
    #[derive(Deserialize)]
    struct Critical {
        identity: Identity,
        image: Signed,
        r#type: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Identity {
        docker_reference: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "kebab-case")]
    struct Signed {
        docker_manifest_digest: String,
    }
    let Document { critical } = serde_json::from_slice(payload).map_err(|error| format!("signed document: {error}"))?;
    let repository = format!("{}/{}", reference.registry, reference.repository);
    let checks = [
        ("type", critical.r#type, "cosign container image signature".to_owned()),
        ("digest", critical.image.docker_manifest_digest, digest.to_string()),
        ("repository", critical.identity.docker_reference, repository),
    ];
    for (what, found, expected) in checks {
        if found != expected {
            return Err(format!("found one of {what} {found:?}; expected {expected:?}"));
        }
    }
    Ok(())
}
