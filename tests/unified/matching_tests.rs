//! Each operator of the matching rules, both ways.

use bson::{Bson, Document, bson, doc};
use libtest_mimic::Trial;

use crate::matching::{Names, matches, matches_root};

struct Entities;

impl Names for Entities {
    fn value(&self, name: &str) -> Result<Bson, String> {
        if name == "five" { Ok(Bson::Int32(5)) } else { Err(format!("no entity {name}")) }
    }

    fn lsid(&self, name: &str) -> Result<Bson, String> {
        if name == "session0" { Ok(bson!({ "id": 1 })) } else { Err(format!("no session {name}")) }
    }
}

/// One comparison: what it is about, expected, actual, whether they match.
type Case = (&'static str, Document, Document, bool);

/// One trial a comparison.
pub(crate) fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = cases()
        .into_iter()
        .map(|(name, expected, actual, matching)| {
            Trial::test(format!("matching::{name}"), move || {
                let outcome = matches_root(&expected, &actual, &Entities);
                match (matching, outcome) {
                    (true, Ok(())) | (false, Err(_)) => Ok(()),
                    (true, Err(what)) => Err(what.into()),
                    (false, Ok(())) => Err("matched, and should not".into()),
                }
            })
        })
        .collect();
    trials.push(Trial::test("matching::operators_at_the_root", || {
        let operand = bson!({ "$$unsetOrMatches": { "a": 1 } });
        matches(&operand, None, true, &Entities)?;
        matches(&operand, Some(&bson!({ "a": 1, "b": 2 })), true, &Entities)?;
        match matches(&operand, Some(&bson!({ "a": 2 })), true, &Entities) {
            Err(_) => Ok(()),
            Ok(()) => Err("matched, and should not".into()),
        }
    }));
    trials
}

fn cases() -> Vec<Case> {
    let mut cases = plain();
    cases.extend(operators());
    cases.extend(texts());
    cases
}

fn plain() -> Vec<Case> {
    vec![
        ("extra_at_root", doc! { "a": 1 }, doc! { "a": 1, "b": 2 }, true),
        ("missing_at_root", doc! { "a": 1, "b": 2 }, doc! { "a": 1 }, false),
        ("extra_nested", doc! { "a": { "b": 1 } }, doc! { "a": { "b": 1, "c": 2 } }, false),
        ("nested", doc! { "a": { "b": 1 } }, doc! { "a": { "b": 1 } }, true),
        ("numbers", doc! { "a": 1, "b": 2_i64 }, doc! { "a": 1.0, "b": 2 }, true),
        ("other_number", doc! { "a": 1 }, doc! { "a": 1.5 }, false),
        ("other_type", doc! { "a": 1 }, doc! { "a": "1" }, false),
        ("array", doc! { "a": [1, { "b": 2 }] }, doc! { "a": [1, { "b": 2 }] }, true),
        ("array_length", doc! { "a": [1] }, doc! { "a": [1, 2] }, false),
        ("array_extra", doc! { "a": [{ "b": 2 }] }, doc! { "a": [{ "b": 2, "c": 3 }] }, false),
        ("unknown_operator", doc! { "a": { "$$near": 1 } }, doc! { "a": 1 }, false),
        ("dollar_is_no_operator", doc! { "a": { "$set": 1 } }, doc! { "a": { "$set": 1 } }, true),
    ]
}

fn operators() -> Vec<Case> {
    let exists = |yes: bool| doc! { "a": { "$$exists": yes } };
    let of_type = |name: &str| doc! { "a": { "$$type": name } };
    let either = || doc! { "a": { "$$type": ["int", "long"] } };
    let unset = || doc! { "a": { "$$unsetOrMatches": 1 } };
    let entity = |name: &str| doc! { "a": { "$$matchesEntity": name } };
    let session = |name: &str| doc! { "a": { "$$sessionLsid": name } };
    let hex = || doc! { "a": { "$$matchesHexBytes": "0aff" } };
    let most = || doc! { "a": { "$$lte": 5 } };
    let bytes = |bytes: &[u8]| {
        let subtype = bson::spec::BinarySubtype::Generic;
        doc! { "a": bson::Binary { subtype, bytes: bytes.to_vec() } }
    };
    vec![
        ("exists", exists(true), doc! { "a": Bson::Null }, true),
        ("exists_not", exists(true), doc! {}, false),
        ("absent", exists(false), doc! {}, true),
        ("absent_not", exists(false), doc! { "a": 1 }, false),
        ("type", of_type("string"), doc! { "a": "x" }, true),
        ("type_not", of_type("string"), doc! { "a": 1 }, false),
        ("type_missing", of_type("string"), doc! {}, false),
        ("type_number", of_type("number"), doc! { "a": 1.5 }, true),
        ("type_unknown", of_type("text"), doc! { "a": "x" }, false),
        ("types", either(), doc! { "a": 1_i64 }, true),
        ("types_not", either(), doc! { "a": 1.0 }, false),
        ("unset", unset(), doc! {}, true),
        ("unset_or_equal", unset(), doc! { "a": 1 }, true),
        ("unset_or_other", unset(), doc! { "a": 2 }, false),
        ("entity", entity("five"), doc! { "a": 5 }, true),
        ("entity_other", entity("five"), doc! { "a": 6 }, false),
        ("entity_unknown", entity("six"), doc! { "a": 6 }, false),
        ("session", session("session0"), doc! { "a": { "id": 1 } }, true),
        ("session_other", session("session0"), doc! { "a": { "id": 2 } }, false),
        ("session_unknown", session("session1"), doc! { "a": { "id": 1 } }, false),
        ("hex", hex(), bytes(&[0x0a, 0xff]), true),
        ("hex_other", hex(), bytes(&[0x0a]), false),
        ("lte", most(), doc! { "a": 5_i64 }, true),
        ("lte_more", most(), doc! { "a": 5.5 }, false),
        ("lte_no_number", most(), doc! { "a": "5" }, false),
    ]
}

fn texts() -> Vec<Case> {
    let parsed = || doc! { "a": { "$$matchAsDocument": { "x": 1 } } };
    let parsed_root = || doc! { "a": { "$$matchAsDocument": { "$$matchAsRoot": { "x": 1 } } } };
    let root = || doc! { "a": { "$$matchAsRoot": { "x": 1 } } };
    vec![
        ("as_document", parsed(), doc! { "a": "{\"x\":1}" }, true),
        ("as_document_extra", parsed(), doc! { "a": "{\"x\":1,\"y\":2}" }, false),
        ("as_document_no_json", parsed(), doc! { "a": "{\"x\":1" }, false),
        ("as_document_no_text", parsed(), doc! { "a": { "x": 1 } }, false),
        ("as_document_as_root", parsed_root(), doc! { "a": "{\"x\":1,\"y\":2}" }, true),
        ("as_document_as_root_other", parsed_root(), doc! { "a": "{\"x\":2}" }, false),
        ("as_root", root(), doc! { "a": { "x": 1, "y": 2 } }, true),
        ("as_root_other", root(), doc! { "a": { "x": 2 } }, false),
    ]
}
