//! Images from a real registry, and from one that lies.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use p256::{
    ecdsa::SigningKey,
    pkcs8::{EncodePublicKey, LineEnding},
};
use serde_json::json;
use surety_integrity::image::{
    Cache, Credentials, Digest, Error, Image, Options, Puller,
    signature::{ANNOTATION, PAYLOAD, payload, sign, tag},
};
use surety_protocol::manifest::container::{Image as Reference, Platform};
use surety_testing::{
    images::{self, Builder, Format, Layer, Packing, digest},
    registry::{Lie, LyingRegistry, OciRegistry},
};

const REPOSITORY: &str = "team/app";

fn reference(host: &str, digest: &str) -> Reference {
    let digest: Digest = digest.parse().unwrap();
    Reference {
        registry: host.into(),
        repository: REPOSITORY.into(),
        digest: digest.0.into(),
    }
}

fn small(words: &str) -> Builder {
    Builder::new()
        .layer(
            Layer::new()
                .directory("etc", 0o755)
                .file("etc/words", 0o644, words.as_bytes()),
        )
        .layer(
            Layer::new()
                .packed(Packing::Plain)
                .file("etc/more", 0o600, &[7; 300_000]),
        )
        .entrypoint(&["/app"])
        .environment(&["A=1"])
}

fn puller(folder: &Path, options: Options) -> Puller {
    Puller::new(Cache::open(folder, 1 << 30).unwrap(), options)
}

/// Through an empty cache.
async fn pull(host: &str, digest: &str, key: Option<&str>) -> Result<Image, Error> {
    let folder = tempfile::tempdir().unwrap();
    let result = puller(folder.path(), Options::default())
        .pull_signed(&reference(host, digest), &Platform::default(), key)
        .await;
    // The tree too: its layers are checked when they are unpacked. Before the folder is gone.
    if let Ok(image) = &result {
        image.tree().await?;
    }
    result
}

#[tokio::test]
async fn index_and_manifest_give_the_same_image() {
    let registry = OciRegistry::start().unwrap();
    for format in [Format::Oci, Format::Docker] {
        let ours = small("ours").format(format).build();
        let arm = small("arm").format(format).architecture("arm64", Some("v8")).build();
        let index = registry.push_index(REPOSITORY, &[&arm, &ours]).await.unwrap();
        let host = registry.host();
        for asked in [&index, &ours.digest()] {
            let image = pull(&host, asked, None).await.unwrap();
            assert_eq!(image.digest.to_string(), ours.digest());
            assert_eq!(image.config_digest.to_string(), ours.config_digest());
            assert_eq!(
                image
                    .configuration
                    .diff_ids
                    .iter()
                    .map(Digest::to_string)
                    .collect::<Vec<_>>(),
                ours.diff_ids
            );
            assert_eq!(image.configuration.run.entrypoint, ["/app"]);
        }
        let wrong = pull(&host, &arm.digest(), None).await.unwrap_err();
        assert!(matches!(wrong, Error::Platform { .. }), "{wrong}");
        let none = registry.push_index(REPOSITORY, &[&arm]).await.unwrap();
        assert!(matches!(
            pull(&host, &none, None).await.unwrap_err(),
            Error::Platform { .. }
        ));
        let two = registry
            .push_index(REPOSITORY, &[&ours, &small("other").format(format).build()])
            .await
            .unwrap();
        assert!(matches!(
            pull(&host, &two, None).await.unwrap_err(),
            Error::Platform { .. }
        ));
    }
}

#[tokio::test]
async fn what_is_in_the_cache_is_not_believed() {
    let registry = OciRegistry::start().unwrap();
    let ours = small("ours").build();
    registry.push(REPOSITORY, &ours).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let reference = reference(&registry.host(), &ours.digest());
    let first = puller(folder.path(), Options::default());
    let image = first.pull_signed(&reference, &Platform::default(), None).await.unwrap();
    let tree = image.tree().await.unwrap();
    for name in ["blobs", "trees"] {
        for entry in std::fs::read_dir(folder.path().join(name)).unwrap() {
            let path = entry.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }
    }
    // Another process: everything is found wrong, and fetched again.
    let second = puller(folder.path(), Options::default());
    let again = second
        .pull_signed(&reference, &Platform::default(), None)
        .await
        .unwrap();
    assert_eq!(again.tree().await.unwrap(), tree);
    // And without the registry, all is there.
    drop(registry);
    let third = puller(folder.path(), Options::default());
    let offline = third.pull_signed(&reference, &Platform::default(), None).await.unwrap();
    assert_eq!(offline.tree().await.unwrap(), tree);
}

#[tokio::test]
async fn a_registry_that_lies_is_not_believed() {
    let registry = OciRegistry::start().unwrap();
    let ours = small("ours").build();
    let other = small("other").build();
    registry.push(REPOSITORY, &ours).await.unwrap();
    let elsewhere = registry.push(REPOSITORY, &other).await.unwrap();
    let proxy = LyingRegistry::start(&registry).await.unwrap();
    let host = proxy.host();
    pull(&host, &ours.digest(), None).await.unwrap();
    let things = [
        ("manifest", format!("manifests/{}", ours.digest())),
        ("config", format!("blobs/{}", ours.config_digest())),
        ("layer", format!("blobs/{}", ours.layers[0])),
    ];
    let redirect = format!("http://{}/v2/{REPOSITORY}/manifests/{elsewhere}", registry.host());
    for (what, path) in &things {
        for lie in [
            Lie::Flip,
            Lie::Truncate,
            Lie::BreakOff,
            Lie::Append,
            Lie::Endless,
            Lie::Replace(other.manifest.clone()),
            Lie::Replace(Vec::new()),
            Lie::Status(500),
            Lie::Status(404),
            Lie::Status(204),
            Lie::Redirect(redirect.clone()),
            Lie::Redirect(format!("http://{host}/{path}")),
        ] {
            proxy.lie(path, lie.clone());
            let error = pull(&host, &ours.digest(), None)
                .await
                .err()
                .unwrap_or_else(|| panic!("{what}: {lie:?}"));
            let passing = matches!(lie, Lie::Status(500) | Lie::BreakOff) || matches!(error, Error::Unreachable { .. });
            assert_eq!(error.retryable(), passing, "{what}: {lie:?}: {error}");
        }
        // What passes within the attempts is not seen.
        proxy.lie(path, Lie::StatusTimes(503, 2));
        pull(&host, &ours.digest(), None).await.unwrap();
    }
    // The right bytes may be anywhere.
    let layer = &things[2].1;
    proxy.lie(
        layer,
        Lie::Redirect(format!("http://{}/v2/{REPOSITORY}/{layer}", registry.host())),
    );
    pull(&host, &ours.digest(), None).await.unwrap();
}

#[tokio::test]
async fn a_manifest_that_promises_other_than_it_gives_is_refused() {
    let registry = OciRegistry::start().unwrap();
    let proxy = LyingRegistry::start(&registry).await.unwrap();
    let ours = small("ours").build();
    registry.push(REPOSITORY, &ours).await.unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&ours.manifest).unwrap();
    let altered = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        manifest.to_string().into_bytes()
    };
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (altered(&|it| it["layers"][0]["size"] = json!(1)), "Size"),
        (altered(&|it| it["layers"][0]["size"] = json!(1_u64 << 40)), "TooLarge"),
        (
            altered(&|it| it["layers"][0]["mediaType"] = json!("application/zip")),
            "MediaType",
        ),
        (altered(&|it| it["layers"][0] = it["layers"][1].clone()), "Digest"),
        (altered(&|it| it["layers"] = json!([])), "Format"),
        (altered(&|it| it["manifests"] = json!([])), "Format"),
        (altered(&|it| it["schemaVersion"] = json!(1)), "Format"),
        (altered(&|it| it["mediaType"] = json!("text/html")), "MediaType"),
        (altered(&|it| it["config"]["digest"] = json!("sha512:00")), "Format"),
        (b"<html>".to_vec(), "Format"),
    ];
    for (bytes, expected) in cases {
        let digest = digest(&bytes);
        proxy.lie(&format!("manifests/{digest}"), Lie::Replace(bytes));
        let error = pull(&proxy.host(), &digest, None).await.unwrap_err();
        assert!(
            format!("{error:?}").starts_with(expected),
            "expected {expected}: {error:?}"
        );
    }
}

#[tokio::test]
async fn unsigned_and_wrongly_signed_images_are_refused() {
    let registry = OciRegistry::start().unwrap();
    let host = registry.host();
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    let stranger = SigningKey::from_slice(&[8; 32]).unwrap();
    let pem = key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap();
    let other = small("other").build();
    let publish = async |digest: Digest, payload: Vec<u8>, signature: String| {
        let config = b"{}";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(), "digest": images::digest(config) },
            "layers": [{
                "mediaType": PAYLOAD, "size": payload.len(), "digest": images::digest(&payload),
                "annotations": { ANNOTATION: signature },
            }],
        })
        .to_string();
        registry.push_blob(REPOSITORY, config).await.unwrap();
        registry.push_blob(REPOSITORY, &payload).await.unwrap();
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        registry
            .push_manifest(REPOSITORY, &tag(digest), media_type, manifest.as_bytes())
            .await
            .unwrap();
    };
    let repository = format!("{host}/{REPOSITORY}");
    let ours = small("ours").build();
    registry.push(REPOSITORY, &ours).await.unwrap();
    let us: Digest = ours.digest().parse().unwrap();
    let refused = async |why: &str| {
        let error = pull(&host, &ours.digest(), Some(&pem)).await.unwrap_err();
        assert!(
            matches!(&error, Error::Signature { .. }) && !error.retryable(),
            "{why}: {error}"
        );
    };
    refused("unsigned").await;
    let right = payload(&repository, us);
    publish(us, right.clone(), sign(&stranger, &right)).await;
    refused("of another key").await;
    publish(us, right.clone(), sign(&key, b"something else")).await;
    refused("of something else").await;
    let of_other = payload(&repository, other.digest().parse().unwrap());
    publish(us, of_other.clone(), sign(&key, &of_other)).await;
    refused("of another image").await;
    let elsewhere = payload("registry.example/team/app", us);
    publish(us, elsewhere.clone(), sign(&key, &elsewhere)).await;
    refused("of another repository").await;
    publish(us, right.clone(), "no base64!".into()).await;
    refused("no signature").await;
    publish(us, right.clone(), sign(&key, &right)).await;
    pull(&host, &ours.digest(), Some(&pem)).await.unwrap();
    assert!(matches!(
        pull(&host, &ours.digest(), Some("no key")).await.unwrap_err(),
        Error::Signature { .. }
    ));
    // A signature of the index is one of all that it names.
    let index = registry.push_index(REPOSITORY, &[&other]).await.unwrap();
    let of_index = payload(&repository, index.parse().unwrap());
    publish(index.parse().unwrap(), of_index.clone(), sign(&key, &of_index)).await;
    assert_eq!(
        pull(&host, &index, Some(&pem)).await.unwrap().digest.to_string(),
        other.digest()
    );
    assert!(pull(&host, &other.digest(), Some(&pem)).await.is_err());
}

#[tokio::test]
async fn a_user_is_asked_for_where_the_registry_wants_one() {
    // Of `secret`, as `htpasswd -nbB` makes it.
    let entry = "monitor:$2b$04$7Mas.6HBLaQRLJiFRMwbEOaUoXvn3F4ODBTIfiL5N3V4TG8DFBN4y\n";
    let registry = OciRegistry::start_for("monitor", "secret", entry).unwrap();
    let ours = small("ours").build();
    registry.push(REPOSITORY, &ours).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let reference = reference(&registry.host(), &ours.digest());
    // A plan's author names the registry: it is not told what is another's.
    for (of, password, right) in [
        (registry.host(), None, false),
        (registry.host(), Some("wrong"), false),
        ("registry.example".to_owned(), Some("secret"), false),
        (registry.host(), Some("secret"), true),
    ] {
        let credentials = password.map(|password| Credentials {
            registry: of,
            username: "monitor".into(),
            password: password.into(),
        });
        let options = Options {
            credentials,
            ..Options::default()
        };
        let pulled = puller(folder.path(), options)
            .pull_signed(&reference, &Platform::default(), None)
            .await;
        match pulled {
            Ok(_) => assert!(right),
            Err(error) => assert!(!right && matches!(error, Error::Status { status: 401, .. }), "{error}"),
        }
    }
}
