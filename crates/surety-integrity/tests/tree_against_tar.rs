//! The file system that layers make, against the real `tar` and the rules of whiteouts applied to a real folder.
//! Needs root: layers have owners and devices.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use proptest::{collection, prelude::*, sample};
use sha2::{Digest as _, Sha256};
use surety_integrity::image::{
    Digest, Error, Layer, Packing,
    tree::{FileTree, Kind, Limits, build},
};
use tar::{EntryType, Header};

/// Where things may be: names that are directories, and what may be anything.
const FOLDERS: [&str; 5] = ["a", "b", "a/c", "a/c/d", "opt"];
/// Made by nobody, so that it is implied.
const IMPLIED: &str = "opt";

fn leaves() -> Vec<String> {
    vec![
        "x".into(),
        "y".into(),
        "z.txt".into(),
        // Beyond a header's hundred bytes, and as long as a name may be.
        "long".repeat(30),
        "n".repeat(255),
    ]
}

#[derive(Debug, Clone)]
enum What {
    File(Vec<u8>),
    Directory,
    Symlink(String),
    Fifo,
    Device(u32, u32),
    /// another name of a file of this layer, if there is one before it
    Link,
}

#[derive(Debug, Clone)]
struct Thing {
    what: What,
    mode: u32,
    owner: u64,
}

#[derive(Debug, Clone)]
struct Changes {
    things: BTreeMap<String, Thing>,
    whiteouts: Vec<String>,
    opaque: Vec<String>,
    /// names beyond a header's room as PAX has them, or as GNU
    pax: bool,
    gzip: bool,
    reverse: bool,
}

fn path() -> impl Strategy<Value = String> {
    (sample::select(FOLDERS.to_vec()), sample::select(leaves()), 0..8_u8).prop_map(|(folder, leaf, top)| match top {
        0 => leaf,
        // A folder's own name: it is replaced by something else, or taken away.
        1 if folder != IMPLIED => folder.to_owned(),
        _ => format!("{folder}/{leaf}"),
    })
}

fn thing() -> impl Strategy<Value = Thing> {
    let what = prop_oneof![
        4 => collection::vec(any::<u8>(), 0..1_500).prop_map(What::File),
        2 => Just(What::Directory),
        1 => sample::select(vec!["x", "../b", "/a/c", "nowhere"]).prop_map(|to| What::Symlink(to.into())),
        1 => (0..3_u8).prop_map(|n| What::Symlink("t".repeat(90 + usize::from(n) * 40))),
        1 => Just(What::Fifo),
        1 => (0..300_u32, 0..300_u32).prop_map(|(major, minor)| What::Device(major, minor)),
        2 => Just(What::Link),
    ];
    (
        what,
        sample::select(vec![0o644, 0o755, 0o4755, 0o1777, 0o600]),
        sample::select(vec![0, 1_000, 65_534]),
    )
        .prop_map(|(what, mode, owner)| Thing { what, mode, owner })
}

fn changes() -> impl Strategy<Value = Changes> {
    (
        collection::btree_map(path(), thing(), 0..9),
        collection::vec(path(), 0..4),
        collection::vec(sample::select(FOLDERS.to_vec()), 0..2),
        any::<[bool; 3]>(),
    )
        .prop_map(|(mut things, mut whiteouts, opaque, [pax, gzip, reverse])| {
            // What is below something that is no directory cannot be in the same layer.
            let solid: Vec<String> = things
                .iter()
                .filter(|(_, thing)| !matches!(thing.what, What::Directory))
                .map(|(path, _)| format!("{path}/"))
                .collect();
            let stands = |path: &str| !solid.iter().any(|above| path.starts_with(above.as_str()));
            things.retain(|path, _| stands(path));
            whiteouts.retain(|path| stands(path) && !things.contains_key(path));
            let opaque: Vec<String> = opaque
                .into_iter()
                .map(str::to_owned)
                .filter(|folder| stands(&format!("{folder}/")) && stands(folder))
                .collect();
            // As real layers do, every folder above is in the layer, but for one.
            let inner = things.keys().cloned().chain(whiteouts.iter().cloned());
            let inner: Vec<String> = inner.chain(opaque.iter().map(|folder| format!("{folder}/x"))).collect();
            for path in inner {
                for (end, _) in path.match_indices('/') {
                    let folder = path.get(..end).unwrap_or_default();
                    if folder != IMPLIED {
                        things.entry(folder.to_owned()).or_insert(Thing {
                            what: What::Directory,
                            mode: 0o755,
                            owner: 0,
                        });
                    }
                }
            }
            // A whiteout's own folder may have been made just now.
            whiteouts.retain(|path| !things.contains_key(path));
            Changes {
                things,
                whiteouts,
                opaque,
                pax,
                gzip,
                reverse,
            }
        })
}

/// The layer's archive, and what in it is another name of what.
fn archive(changes: &Changes) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let marks = |folder: &str, name: &str| {
        if folder.is_empty() {
            name.to_owned()
        } else {
            format!("{folder}/{name}")
        }
    };
    let mut markers: Vec<String> = changes
        .whiteouts
        .iter()
        .filter(|path| path.rsplit('/').next().unwrap().len() <= 251)
        .map(|path| {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            marks(folder, &format!(".wh.{name}"))
        })
        .collect();
    markers.extend(changes.opaque.iter().map(|folder| marks(folder, ".wh..wh..opq")));
    let put_markers = |archive: &mut tar::Builder<Vec<u8>>| {
        for marker in &markers {
            append(
                archive,
                changes.pax,
                marker,
                EntryType::Regular,
                None,
                0o600,
                0,
                (0, 0),
                &[],
            );
        }
    };
    if changes.reverse {
        put_markers(&mut archive);
    }
    let mut last: Option<(&String, &Thing)> = None;
    for (path, thing) in &changes.things {
        let (mut mode, mut owner) = (thing.mode, thing.owner);
        let (kind, link, device, content): (_, Option<String>, _, &[u8]) = match &thing.what {
            What::File(content) => {
                last = Some((path, thing));
                (EntryType::Regular, None, (0, 0), content)
            }
            What::Directory => (EntryType::Directory, None, (0, 0), &[]),
            What::Symlink(to) => (EntryType::Symlink, Some(to.clone()), (0, 0), &[]),
            What::Fifo => (EntryType::Fifo, None, (0, 0), &[]),
            What::Device(major, minor) => (EntryType::Char, None, (*major, *minor), &[]),
            What::Link => match last {
                Some((target, its)) => {
                    (mode, owner) = (its.mode, its.owner);
                    (EntryType::Link, Some(target.clone()), (0, 0), &[])
                }
                None => (EntryType::Fifo, None, (0, 0), &[]),
            },
        };
        append(
            &mut archive,
            changes.pax,
            path,
            kind,
            link.as_deref(),
            mode,
            owner,
            device,
            content,
        );
    }
    if !changes.reverse {
        put_markers(&mut archive);
    }
    archive.into_inner().unwrap()
}

#[allow(clippy::too_many_arguments, reason = "a header's fields")]
fn append(
    archive: &mut tar::Builder<Vec<u8>>,
    pax: bool,
    path: &str,
    kind: EntryType,
    link: Option<&str>,
    mode: u32,
    owner: u64,
    (major, minor): (u32, u32),
    content: &[u8],
) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner);
    header.set_gid(owner);
    header.set_size(content.len() as u64);
    header.set_device_major(major).unwrap();
    header.set_device_minor(minor).unwrap();
    if pax {
        let mut records = vec![("path", path.as_bytes())];
        records.extend(link.map(|link| ("linkpath", link.as_bytes())));
        archive.append_pax_extensions(records).unwrap();
        header.set_path("cut").unwrap();
        if link.is_some() {
            header.set_link_name("cut").unwrap();
        }
        header.set_cksum();
        archive.append(&header, content).unwrap();
    } else if let Some(link) = link {
        archive.append_link(&mut header, path, link).unwrap();
    } else {
        archive.append_data(&mut header, path, content).unwrap();
    }
}

/// By the book of whiteouts, and by `tar`.
fn unpack(root: &Path, changes: &Changes, archive: &[u8]) {
    let remove = |path: &Path| match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    };
    // What is above must be real folders; nothing is taken away through a link.
    let real = |path: &Path| {
        let above = path.ancestors().skip(1).take_while(|it| it.starts_with(root));
        above
            .into_iter()
            .all(|it| fs::symlink_metadata(it).is_ok_and(|found| found.is_dir()))
    };
    for path in changes
        .whiteouts
        .iter()
        .filter(|path| path.rsplit('/').next().unwrap().len() <= 251)
    {
        let path = root.join(path);
        if real(&path) {
            remove(&path);
        }
    }
    for folder in &changes.opaque {
        let folder = root.join(folder);
        if real(&folder) && fs::symlink_metadata(&folder).is_ok_and(|found| found.is_dir()) {
            for entry in fs::read_dir(&folder).unwrap() {
                remove(&entry.unwrap().path());
            }
        }
    }
    // Only folders are merged.
    for (path, thing) in &changes.things {
        let path = root.join(path);
        if real(&path)
            && !(fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) && matches!(thing.what, What::Directory))
        {
            remove(&path);
        }
    }
    let mut tar = Command::new("tar")
        .args([
            "--extract",
            "--preserve-permissions",
            "--same-owner",
            "--numeric-owner",
            "--exclude",
            ".wh.*",
        ])
        .args(["--overwrite-dir", "--file", "-", "--directory"])
        .arg(root)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    tar.stdin.take().unwrap().write_all(archive).unwrap();
    assert!(tar.wait().unwrap().success(), "{changes:?}");
}

#[derive(Debug, PartialEq, Eq)]
struct Seen {
    kind: char,
    mode: Option<u32>,
    owner: (u32, u32),
    data: String,
}

/// What is there, by path, and which paths are one file.
type Listing = (BTreeMap<Vec<u8>, Seen>, BTreeSet<BTreeSet<Vec<u8>>>);

fn listed(root: &Path) -> Listing {
    let mut all = BTreeMap::new();
    let mut names: BTreeMap<u64, BTreeSet<Vec<u8>>> = BTreeMap::new();
    let mut left: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let found = fs::symlink_metadata(&path).unwrap();
            let inside = [b"/", path.strip_prefix(root).unwrap().as_os_str().as_bytes()].concat();
            let (kind, data) = if found.is_dir() {
                left.push(path.clone());
                ('d', String::new())
            } else if found.file_type().is_symlink() {
                ('l', hex::encode(fs::read_link(&path).unwrap().as_os_str().as_bytes()))
            } else if found.file_type().is_fifo() {
                ('p', String::new())
            } else if found.file_type().is_char_device() {
                ('c', found.rdev().to_string())
            } else {
                ('f', hex::encode(Sha256::digest(fs::read(&path).unwrap())))
            };
            if kind != 'd' {
                names.entry(found.ino()).or_default().insert(inside.clone());
            }
            let seen = Seen {
                kind,
                mode: (kind != 'l').then_some(found.mode() & 0o7777),
                owner: (found.uid(), found.gid()),
                data,
            };
            all.insert(inside, seen);
        }
    }
    (all, names.into_values().filter(|names| names.len() > 1).collect())
}

fn told(tree: &FileTree) -> Listing {
    let mut all = BTreeMap::new();
    let mut names: BTreeMap<usize, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for (path, node) in tree.iter().filter(|(path, _)| *path != b"/") {
        let (kind, data) = match &node.kind {
            Kind::File { sha256, .. } => ('f', hex::encode(sha256)),
            Kind::Directory => ('d', String::new()),
            Kind::Symlink(to) => ('l', hex::encode(to)),
            Kind::Fifo => ('p', String::new()),
            Kind::Character(major, minor) => ('c', rustix::fs::makedev(*major, *minor).to_string()),
            Kind::Block(..) => unreachable!("none is made"),
        };
        if kind != 'd' {
            names
                .entry(std::ptr::from_ref(node).addr())
                .or_default()
                .insert(path.to_vec());
        }
        let seen = Seen {
            kind,
            mode: (kind != 'l').then_some(node.mode),
            owner: (node.uid, node.gid),
            data,
        };
        all.insert(path.to_vec(), seen);
    }
    (all, names.into_values().filter(|names| names.len() > 1).collect())
}

fn layer(folder: &Path, number: usize, archive: &[u8], gzip: bool) -> Layer {
    let path = folder.join(format!("layer-{number}"));
    let blob = if gzip {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(archive).unwrap();
        packed.finish().unwrap()
    } else {
        archive.to_vec()
    };
    fs::write(&path, &blob).unwrap();
    Layer {
        digest: Digest::of(&blob),
        size: blob.len() as u64,
        diff_id: Digest::of(archive),
        packing: if gzip { Packing::Gzip } else { Packing::Plain },
        path,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn layers_make_what_tar_and_the_rules_make(all in collection::vec(changes(), 1..5)) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        let mut layers = Vec::new();
        for (number, changes) in all.iter().enumerate() {
            let archive = archive(changes);
            layers.push(layer(folder.path(), number, &archive, changes.gzip));
            unpack(&root, changes, &archive);
        }
        let tree = build(&layers, Limits::default()).unwrap();
        let (ours, theirs) = (told(&tree), listed(&root));
        prop_assert_eq!(ours, theirs);
    }
}

/// P4: a layer of next to nothing, packed, must not fill the memory of who reads it.
#[test]
fn p4_what_is_remembered_of_layers_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits {
        text: 1 << 20,
        ..Limits::default()
    };
    let refused = |archive: Vec<u8>| {
        let layer = layer(folder.path(), 0, &archive, true);
        assert!(layer.size < 1 << 20);
        matches!(build(&[layer], limits), Err(Error::TooLarge { limit, .. }) if limit == limits.text)
    };
    let mut whiteouts = tar::Builder::new(Vec::new());
    let mut names = tar::Builder::new(Vec::new());
    let mut attributes = tar::Builder::new(Vec::new());
    let value = vec![b'0'; 500_000];
    for number in 0..20_000 {
        append(
            &mut whiteouts,
            false,
            &format!(".wh.{number}"),
            EntryType::Regular,
            None,
            0,
            0,
            (0, 0),
            &[],
        );
        append(
            &mut names,
            false,
            &format!("{number}"),
            EntryType::Fifo,
            None,
            0,
            0,
            (0, 0),
            &[],
        );
        if number < 10 {
            let name = format!("SCHILY.xattr.user.{number}");
            attributes
                .append_pax_extensions([(name.as_str(), value.as_slice())])
                .unwrap();
        }
    }
    append(&mut attributes, false, "x", EntryType::Fifo, None, 0, 0, (0, 0), &[]);
    assert!(refused(whiteouts.into_inner().unwrap()), "whiteouts");
    assert!(refused(names.into_inner().unwrap()), "names");
    assert!(refused(attributes.into_inner().unwrap()), "attributes");
}
