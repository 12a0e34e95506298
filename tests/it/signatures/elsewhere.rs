//! More of every scheme, from the standards and from what others send. All values were computed with Python's `hmac`, so
//! that a mistake made in signing and in verifying alike cannot hide.

use cognigy_fallback_router::signature::{
    Forged::{self, Malformed, Mismatch, Missing, Stale},
    Scheme,
};

use super::{NOW, headers, verifier};

/// Secrets, header lines, body, what comes of them (the index of the secret), and why.
type Case = (
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
    &'static [u8],
    Result<usize, Forged>,
    &'static str,
);

const CURRENT: &str = "the current secret, 32 bytes long";
const STANDARD: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const BODY: &[u8] = br#"{"conversationId":"c"}"#;

fn check(scheme: Scheme, cases: &[Case]) {
    let wrong: Vec<_> = cases
        .iter()
        .filter_map(|(secrets, pairs, body, expected, reason)| {
            let verdict = verifier(scheme, secrets).verify(&headers(pairs), body, NOW);
            let verdict = verdict.map(|verified| verified.secret_index);
            (verdict != *expected).then(|| format!("{reason}: {verdict:?} instead of {expected:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn hex_body_takes_the_body_as_it_is_and_nothing_that_looks_like_a_signature() {
    check(
        Scheme::HexBody,
        &[
            (
                &[CURRENT],
                &[("x-webhook-signature", "6ee91aa9733200a0caa7d6b100aa8f372607805fb40e8ad1a00a2aff384dc2ac")],
                b"",
                Ok(0),
                "a body of no bytes",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "6f9974993b979eb9f27dbaa262d492a37917ceae2a1b8995e244616853f7e5bb")],
                b"\xff\xfe\x00\x80",
                Ok(0),
                "a body that is not UTF-8",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "306e15b4ccc2ffb0d2a53447c9ec2078f854d70a2d780f810a148305edc430df")],
                b"{\"conversationId\":\"c\"}\x0a",
                Err(Mismatch),
                "a line feed after the signed body",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "306e15b4ccc2ffb0d2a53447c9ec2078f854d70a2d780f810a148305edc430df")],
                b"{\"conversationId\": \"c\"}",
                Err(Mismatch),
                "the same JSON laid out otherwise",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "306e15b4ccc2ffb0d2a53447c9ec2078f854d70a2d780f810a148305edc430df")],
                b"\xef\xbb\xbf{\"conversationId\":\"c\"}",
                Err(Mismatch),
                "a byte order mark before the signed body",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "306e15b4ccc2ffb0d2a53447c9ec2078f854d70a2d780f810a148305edc430df")],
                b"",
                Err(Mismatch),
                "the body taken away",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "36ef5415d75d874a37ccbca4f8f65e2311876a8cc11db00b4eea71d987a11bd7")],
                BODY,
                Err(Mismatch),
                "a plain hash of secret and body",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "2341a106c853224480790f60dca54c7d10c0a492009aa64a7ea409ab49b4e051")],
                BODY,
                Err(Mismatch),
                "a plain hash of the body",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "f7af98ad85712d90bc80a432394ed6f281926ea2cda314042146b98e630b841f")],
                BODY,
                Err(Mismatch),
                "key and message exchanged",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "33ce4183dda28e32e128e74d1405ec3705e19ec97bec0a138c9dbb4c53e080c7")],
                BODY,
                Err(Mismatch),
                "signed with the empty key",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "cdf2a01ee74d04579189aa6b34a6fcf7759060e8a547fd83fa289cab187ded41")],
                BODY,
                Err(Mismatch),
                "signed with a line feed after the secret",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "80da5eb9a0c4fd727abad135dfa8e58b4faf95e7")],
                BODY,
                Err(Malformed),
                "SHA-1",
            ),
            (
                &[CURRENT],
                &[(
                    "x-webhook-signature",
                    "1d25b956365aaee7098b903e7975c37c462cd89effd74796b4b253610d6bdc1ac5aab85f7e8f2cc8637d6127a995015e9744d999c079be3e57aa9a817becf5df",
                )],
                BODY,
                Err(Malformed),
                "SHA-512",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "6c4a5d7b84681253f548571be4fc110d4a1d0a70f4959832cbfcf83864c09de0")],
                BODY,
                Err(Mismatch),
                "SHA-3, as long",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "MG4VtMzC/7DSpTRHyewgePhU1woteA+BChSDBe3EMN8=")],
                BODY,
                Err(Malformed),
                "base64",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "sha256=MG4VtMzC/7DSpTRHyewgePhU1woteA+BChSDBe3EMN8=")],
                BODY,
                Err(Malformed),
                "base64 behind the prefix",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "0c5913240769cbe13219acf7176d6fca4178ce6774619e924e1e559d9b90f0d7")],
                BODY,
                Err(Mismatch),
                "signed twice",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "fd034cde503841a018f087d2a07d458f8702ce9c74435a2d0bff2ccc4b51e603")],
                BODY,
                Err(Mismatch),
                "digits in reverse",
            ),
            (
                &[CURRENT],
                &[(
                    "x-webhook-signature",
                    "30:6e:15:b4:cc:c2:ff:b0:d2:a5:34:47:c9:ec:20:78:f8:54:d7:0a:2d:78:0f:81:0a:14:83:05:ed:c4:30:df",
                )],
                BODY,
                Err(Malformed),
                "colons between the bytes",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "306e15b4ccc2ffb0d2a53447c9ec2078 f854d70a2d780f810a148305edc430df")],
                BODY,
                Err(Malformed),
                "a blank in the middle",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "\t306e15b4ccc2ffb0d2a53447c9ec2078f854d70a2d780f810a148305edc430df")],
                BODY,
                Err(Malformed),
                "a tabulator before it",
            ),
            (
                &[CURRENT],
                &[(
                    "x-webhook-signature",
                    "３０６e１５b４ccc２ffb０d２a５３４４７c９ec２０７８f８５４d７０a２d７８０f８１０a１４８３０５edc４３０df",
                )],
                BODY,
                Err(Malformed),
                "full-width digits",
            ),
            (
                &[CURRENT],
                &[(
                    "x-webhook-signature",
                    "sha256=306e15b4ccc2ffb0d2a53447c9ec2078f854d70a2d780f810a148305edc430df,sha256=306e15b4ccc2ffb0d2a53447c9ec2078f854d70a2d780f810a148305edc430df",
                )],
                BODY,
                Err(Malformed),
                "a list behind prefixes",
            ),
            (
                &[CURRENT],
                &[(
                    "x-webhook-signature",
                    "sha256=\"306e15b4ccc2ffb0d2a53447c9ec2078f854d70a2d780f810a148305edc430df\"",
                )],
                BODY,
                Err(Malformed),
                "quoted behind the prefix",
            ),
            (
                &[CURRENT],
                &[(
                    "x-webhook-signature",
                    "hmac-sha256 306e15b4ccc2ffb0d2a53447c9ec2078f854d70a2d780f810a148305edc430df",
                )],
                BODY,
                Err(Malformed),
                "a scheme before it",
            ),
            (
                &[CURRENT],
                &[(
                    "x-webhook-signature",
                    "t=1767225600,v1=3b9f6e4f89cb164328a8de341019a470e1ef3174c90b6d4ee059296b3654e738",
                )],
                BODY,
                Err(Malformed),
                "Stripe's form",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature", "v0=f9fdc26fcca109cd0c6d86d76deef60b0d84033a47756ebd602773d533c5d961")],
                BODY,
                Err(Malformed),
                "Slack's form",
            ),
            (
                &[CURRENT],
                &[("x_webhook_signature", "306e15b4ccc2ffb0d2a53447c9ec2078f854d70a2d780f810a148305edc430df")],
                BODY,
                Err(Missing),
                "underscores in the name",
            ),
            (
                &[CURRENT],
                &[("x-webhook-signature-256", "306e15b4ccc2ffb0d2a53447c9ec2078f854d70a2d780f810a148305edc430df")],
                BODY,
                Err(Missing),
                "a longer name",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-signature", "306e15b4ccc2ffb0d2a53447c9ec2078f854d70a2d780f810a148305edc430df"),
                    ("x-webhook-timestamp", "1"),
                    ("webhook-signature", "v1,x"),
                    ("authorization", "Bearer x"),
                ],
                BODY,
                Ok(0),
                "headers of other schemes beside it do not count",
            ),
            (
                &["pässwörter sind keine Schlüssel!"],
                &[("x-webhook-signature", "dd549ab3b2b126ce57972e2c6a84cd0be14ab59ac490784afc504d9a2b3fb872")],
                BODY,
                Ok(0),
                "a secret beyond ASCII is its UTF-8",
            ),
            (
                &["pässwörter sind keine Schlüssel!"],
                &[("x-webhook-signature", "b8cf442646ec4ed3a8fc943d3bb5fa8600ae89bb5c672d10fbd7ffe586828304")],
                BODY,
                Err(Mismatch),
                "the same secret in Latin-1",
            ),
            (
                &[
                    "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
                ],
                &[("x-webhook-signature", "1caa04f44a17cdfb4e0377d567b9ec1b4fe3dfb206c303eb2f26a387d80ba076")],
                BODY,
                Ok(0),
                "a secret longer than a block",
            ),
            (
                &[STANDARD],
                &[("x-webhook-signature", "0bbcc7c5f6f6f2611ca93f1e2a5b301b60d0589d71c96fe7d1af940c5b5d23ef")],
                BODY,
                Ok(0),
                "a secret with whsec_ is its text here",
            ),
            (
                &[STANDARD],
                &[("x-webhook-signature", "22b8f364225265d5fefac8b52b278bff52413fcb29bbcdf4b729e94d0703dcaa")],
                BODY,
                Err(Mismatch),
                "and not its bytes",
            ),
            (
                &["a", "b", "c"],
                &[("x-webhook-signature", "4838c2ce5d23623891fe9e4e43636d8bb73aca0958767d08186737d1aeb81774")],
                BODY,
                Ok(2),
                "the third of three secrets, and a short one",
            ),
            (
                &["a", "a"],
                &[("x-webhook-signature", "1e24909b894424034e87f3e8e59114b60e71481614ad4081feb4e54a5996353a")],
                BODY,
                Ok(0),
                "the same secret twice is the current one",
            ),
        ],
    );
}

#[test]
fn hex_ts_body_signs_the_time_as_it_was_sent() {
    check(
        Scheme::HexTsBody,
        &[
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "001767225600"),
                    ("x-webhook-signature", "5d6d858da59bfc94e41cd65bb14635bcefda5faaf16b5a05b6a9ca245ecfa1b8"),
                ],
                BODY,
                Ok(0),
                "leading zeros within 12 digits: signed as sent",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "0001767225600"),
                    ("x-webhook-signature", "de34b318623d7d26bfc1ecd76f4d7a1789146bf48e1d63a1b26415c7849f0a4d"),
                ],
                BODY,
                Err(Malformed),
                "13 digits by leading zeros",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "1767225600"),
                    ("x-webhook-signature", "c719ce419ef01590009923d2a2a20cea52dc04900a2f04dcb07986eddae69fea"),
                ],
                b"",
                Ok(0),
                "a body of no bytes",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "1767225300"),
                    ("x-webhook-signature", "964c3cdcec9e28d3322c0d7769580c21d1413aaef571534560b9b6846480cfcb"),
                ],
                BODY,
                Ok(0),
                "300 s ago",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "1767225299"),
                    ("x-webhook-signature", "cfdb3bea2ffaa77995c6e77defbc1eacfe793bda2df95942b95c321bc03b0982"),
                ],
                BODY,
                Err(Stale),
                "301 s ago",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "1767225900"),
                    ("x-webhook-signature", "add88775aba118087bbf7b2f2bdb45cbb14147155c31caa7541f1d16163512ae"),
                ],
                BODY,
                Ok(0),
                "300 s ahead",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "1767225901"),
                    ("x-webhook-signature", "9b3258c3967aa99e73814e2a66fb3344f1bb09572180533762d294e304b90bdc"),
                ],
                BODY,
                Err(Stale),
                "301 s ahead",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "0"),
                    ("x-webhook-signature", "c4c5987e208ebe0763ed45e0ba41fc2c77222da67c362529a474f57975c8a210"),
                ],
                BODY,
                Err(Stale),
                "1970",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "000000000000"),
                    ("x-webhook-signature", "1ecd766c4e119117b23dae2e1c8f737207d2286c2ff97faf8d1fc76994ebcebc"),
                ],
                BODY,
                Err(Stale),
                "1970 in 12 zeros",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "999999999999"),
                    ("x-webhook-signature", "bade99dc79010b7ee4f8057c75299627a04ddb891e8319db36052cb067a131e5"),
                ],
                BODY,
                Err(Stale),
                "the largest that is read",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "18446744073709551616"),
                    ("x-webhook-signature", "8e95b6178d16ba48c60302a869f447b7df056b97af8f377139c95ae457cddd32"),
                ],
                BODY,
                Err(Malformed),
                "beyond 64 bits",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "1767225600000"),
                    ("x-webhook-signature", "ca55830ec44c6b0130d59ef8d092544fdb011387143c31509d77992f80d5974e"),
                ],
                BODY,
                Err(Malformed),
                "milliseconds",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "1767225600.0"),
                    ("x-webhook-signature", "4c522c717282c785ae5fe91284aed4ede3b088abe1497cca47f768a7b74aa47a"),
                ],
                BODY,
                Err(Malformed),
                "a fraction, and signed so",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "+1767225600"),
                    ("x-webhook-signature", "8aa2ad20eb75b51763f804d1ab149e56be8fd0b42f17cfad84c8a129ba1de30a"),
                ],
                BODY,
                Err(Malformed),
                "a sign, and signed so",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "-5"),
                    ("x-webhook-signature", "5c484413954737ef8f9ba5be3841d216fe644b63fdb62c22f7623fefd8d04159"),
                ],
                BODY,
                Err(Malformed),
                "negative, and signed so",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "1_767_225_600"),
                    ("x-webhook-signature", "aeb62ede202c88165136b0091c9d793c952ba12a3c4db8508debc191d9e05ad7"),
                ],
                BODY,
                Err(Malformed),
                "underscores, and signed so",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "1767225600,1767225600"),
                    ("x-webhook-signature", "eb786d8215e95ec1c8bf230a24a3bf0880e41832c02690244bf05f6c24c2376d"),
                ],
                BODY,
                Err(Malformed),
                "a list, and signed so",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "1767225600"),
                    ("x-webhook-signature", "f60758235eda343f90bf3a0954cf4299ae012214f1d3640c7813e801a86a0b9f"),
                ],
                BODY,
                Err(Mismatch),
                "body first",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "1767225600"),
                    ("x-webhook-signature", "f0e5d008d93b0e45dcf9ba6ba2d354c23d686b316372ccaa2a890ddbe759e773"),
                ],
                BODY,
                Err(Mismatch),
                "no dot between",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "1767225600"),
                    ("x-webhook-signature", "1b805e70219016935cbbfde11403e22986dedbef14bb49e08aca309459204c8b"),
                ],
                BODY,
                Err(Mismatch),
                "a colon between",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "1767225600"),
                    ("x-webhook-signature", "b458534ea83788f9e1eb8b5eaa30cad6766a29e42bb8f17ae81ae5c49017c05f"),
                ],
                BODY,
                Err(Mismatch),
                "a line feed between",
            ),
            (
                &[CURRENT],
                &[
                    ("x-webhook-timestamp", "1767225600"),
                    (
                        "x-webhook-signature",
                        "t=1767225600,v1=3b9f6e4f89cb164328a8de341019a470e1ef3174c90b6d4ee059296b3654e738",
                    ),
                ],
                BODY,
                Err(Malformed),
                "Stripe's form beside the timestamp",
            ),
            (
                &[CURRENT],
                &[
                    ("webhook-timestamp", "1767225600"),
                    ("x-webhook-signature", "3b9f6e4f89cb164328a8de341019a470e1ef3174c90b6d4ee059296b3654e738"),
                ],
                BODY,
                Err(Missing),
                "the timestamp under another scheme's name",
            ),
        ],
    );
}

#[test]
fn standard_signs_id_time_and_body_with_the_decoded_secret() {
    check(
        Scheme::Standard,
        &[
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA="),
                ],
                BODY,
                Ok(0),
                "plain",
            ),
            (
                &[STANDARD],
                &[
                    (
                        "webhook-id",
                        "!\"#$%&'()*+,-/0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~",
                    ),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,n+9Wh9Z5BH5PTTPE12FTx738CgM3X+33cI9lzR2yja8="),
                ],
                BODY,
                Ok(0),
                "every visible character but the dot in an id",
            ),
            (
                &[STANDARD],
                &[
                    (
                        "webhook-id",
                        "iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii",
                    ),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,9NRVWN1QEemS+58KyTfq3A5gY9LxbSf0J3FvcCrPMTs="),
                ],
                BODY,
                Ok(0),
                "an id of 256 characters",
            ),
            (
                &[STANDARD],
                &[
                    (
                        "webhook-id",
                        "iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii",
                    ),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,+KoozCLJE0YQqYW6wecjUQOYKrqa2tveu/SyKC/K0aQ="),
                ],
                BODY,
                Err(Malformed),
                "an id of 257 characters, and signed so",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "a.b"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,yap3rkpeH6pbuA6a7QlIkbP7GlSqxsLZuLVEHbTbVgE="),
                ],
                BODY,
                Err(Malformed),
                "a dot in the id, and signed so",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "a\tb"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,fnFH0Mk/q8Ui3KTAo418Clk9R6yGWSYCWrk5AZS/66s="),
                ],
                BODY,
                Err(Malformed),
                "a tabulator in the id, and signed so",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "a b"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,LUuGM/Gb72RDdiccaZ3MKauNe3C63drfwGoZ5XTTWCc="),
                ],
                BODY,
                Err(Malformed),
                "a blank in the id, and signed so",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "é"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,+9BDAxNOME45TXawh+41TXGzc0fYO05/tOOTfGzBHhk="),
                ],
                BODY,
                Err(Malformed),
                "an id beyond ASCII, and signed so",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,XwHxfo8f2RgvrRzIbe2MDJHXguhjgJZHMI5sgFnTkp4="),
                ],
                b"",
                Ok(0),
                "a body of no bytes",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,wv86+pLdGz6yHbDMPW2Lk7k12AKdrMXJlPkSToJR2nM="),
                ],
                b"\x00\xff",
                Ok(0),
                "a body that is not UTF-8",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "001767225600"),
                    ("webhook-signature", "v1,BS2VOQrmrVzObXwE1+SyLGa9J2HhUed7WcYnun/L2mc="),
                ],
                BODY,
                Ok(0),
                "leading zeros: signed as sent",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225299"),
                    ("webhook-signature", "v1,Zz+bQ+CRFkZ4ewU3KSHZUf1XvuMVadyVaqG1G+M9vTc="),
                ],
                BODY,
                Err(Stale),
                "301 s ago",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225901"),
                    ("webhook-signature", "v1,7cgW0rFzbojFoGcWZOxFYGH76eYwXDbA8+gfKqDFl5g="),
                ],
                BODY,
                Err(Stale),
                "301 s ahead",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600.5"),
                    ("webhook-signature", "v1,iRE5voqbWUYG5sEo0jfWw+5Zv/UmD+IqZNWiFZo27mU="),
                ],
                BODY,
                Err(Malformed),
                "a fraction of a second, and signed so",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600 "),
                    ("webhook-signature", "v1,i7kcAXftnY3K9eSiFPY6onPOW3XVWpjfp81tuqfYJuc="),
                ],
                BODY,
                Err(Malformed),
                "a blank after the time, and signed so",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,oJ6kdAv6Ls6LP4gM5RYlKzNPNtOSJmTDOGzi50IVGiQ="),
                ],
                BODY,
                Err(Mismatch),
                "colons between the parts",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,eEC8ba1309uRP8lOXCZOkguQMSl0rzfCbm7J6XXqvLc="),
                ],
                BODY,
                Err(Mismatch),
                "the id is not signed",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,9gy7g52zBFm2QFKhiJ5DLNyIhTL5k9pnr5hQ3UrumDg="),
                ],
                BODY,
                Err(Mismatch),
                "the time is not signed",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,4kTcSpYfo34pyDhXAQSzG+z3Xjy74c7DBU450Fs8GvU="),
                ],
                BODY,
                Err(Mismatch),
                "keyed with the text of the secret",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,XcdZRgVjPEwsNByeZMrUpGfKv85GOlSBV2Zu0CSAa+I="),
                ],
                BODY,
                Err(Mismatch),
                "keyed with the base64 of the secret",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEB="),
                ],
                BODY,
                Err(Malformed),
                "base64 with bits that mean nothing",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA=="),
                ],
                BODY,
                Err(Malformed),
                "padding too much",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA=AAAA"),
                ],
                BODY,
                Err(Malformed),
                "data after the padding",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    (
                        "webhook-signature",
                        "v1,YjE4OGE2NGFhZGFmODkwNzYyOGJhOTdkYWEwOGQ1Zjg1ODI3NmE1ZjYyM2YzZDk3NjMyNzQ0MjU2ZmIzYjQ0MA==",
                    ),
                ],
                BODY,
                Err(Malformed),
                "base64 of the hex digits",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    (
                        "webhook-signature",
                        "v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA=\tv1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA=",
                    ),
                ],
                BODY,
                Err(Malformed),
                "separated by a tabulator",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    (
                        "webhook-signature",
                        "v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA=;v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA=",
                    ),
                ],
                BODY,
                Err(Malformed),
                "separated by a semicolon",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1, sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA="),
                ],
                BODY,
                Err(Malformed),
                "a blank after the version",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    (
                        "webhook-signature",
                        "v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA= v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA= v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA= v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA= v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA= v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA= v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA= v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA= v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA= v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA=",
                    ),
                ],
                BODY,
                Ok(0),
                "ten times the same",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    (
                        "webhook-signature",
                        "v1a,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA= v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA=",
                    ),
                ],
                BODY,
                Ok(0),
                "the same as Ed25519 beside it",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA="),
                ],
                BODY,
                Err(Malformed),
                "the version twice",
            ),
            (
                &[STANDARD],
                &[
                    ("svix-id", "msg_1"),
                    ("svix-timestamp", "1767225600"),
                    ("svix-signature", "v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA="),
                ],
                BODY,
                Err(Missing),
                "Svix's names of the headers",
            ),
            (
                &[STANDARD],
                &[
                    ("WEBHOOK-ID", "msg_1"),
                    ("WEBHOOK-TIMESTAMP", "1767225600"),
                    ("WEBHOOK-SIGNATURE", "v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA="),
                ],
                BODY,
                Ok(0),
                "names of headers have no case",
            ),
            (
                &[STANDARD],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA="),
                    ("x-webhook-signature", "x"),
                    ("x-webhook-timestamp", "x"),
                ],
                BODY,
                Ok(0),
                "headers of other schemes beside it do not count",
            ),
            (
                &[STANDARD, "b2xkZXIgYW5kIG9sZGVyIGFuZCBvbGRlcg=="],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    (
                        "webhook-signature",
                        "v1,B0W+5sZD7JN2J3GVY/ZtizLmuMtyQIedDyX+LeCkbwI= v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA=",
                    ),
                ],
                BODY,
                Ok(0),
                "signed by both secrets of a rotation, the old one first",
            ),
            (
                &["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,sYimSq2viQdii6l9qgjV+Fgnal9iPz2XYydEJW+ztEA="),
                ],
                BODY,
                Ok(0),
                "padding of the secret lost",
            ),
            (
                &["whsec_c2hvcnQ="],
                &[
                    ("webhook-id", "msg_1"),
                    ("webhook-timestamp", "1767225600"),
                    ("webhook-signature", "v1,vpFjTev/b6TXoJeKca/xakIsawAwnC/PR+8TTRO2PhI="),
                ],
                BODY,
                Ok(0),
                "a short key works",
            ),
        ],
    );
}

#[test]
fn api_key_is_the_key_and_nothing_around_it() {
    check(
        Scheme::ApiKey,
        &[
            (&["a:b:c"], &[("authorization", "Basic dXNlcjphOmI6Yw==")], BODY, Ok(0), "colons in a Basic password"),
            (
                &[CURRENT],
                &[("authorization", "Basic dXNlcjp0aGUgY3VycmVudCBzZWNyZXQsIDMyIGJ5dGVzIGxvbmcK")],
                BODY,
                Err(Mismatch),
                "a line feed after the Basic password",
            ),
            (
                &[CURRENT],
                &[("authorization", "Basic //46/w==")],
                BODY,
                Err(Mismatch),
                "Basic credentials that are not UTF-8",
            ),
            (
                &[CURRENT],
                &[("authorization", "Basic dXNlcjp0aGUgY3VycmVudCBzZWNyZXQsIDMyIGJ5dGVzIGxvbmc")],
                BODY,
                Err(Malformed),
                "Basic without its padding",
            ),
            (
                &[CURRENT],
                &[("authorization", "Basic\tdTp0aGUgY3VycmVudCBzZWNyZXQsIDMyIGJ5dGVzIGxvbmc=")],
                BODY,
                Err(Malformed),
                "a tabulator after the scheme",
            ),
            (
                &[CURRENT],
                &[(
                    "authorization",
                    "Bearer the current secret, 32 bytes long, Bearer the current secret, 32 bytes long",
                )],
                BODY,
                Err(Mismatch),
                "a list of credentials",
            ),
            (
                &[CURRENT],
                &[("authorization", "Bearer \"the current secret, 32 bytes long\"")],
                BODY,
                Err(Mismatch),
                "quoted",
            ),
            (
                &[CURRENT],
                &[("authorization", "Bearer Bearer the current secret, 32 bytes long")],
                BODY,
                Err(Mismatch),
                "the scheme twice",
            ),
            (
                &[CURRENT],
                &[("authorization", "Token the current secret, 32 bytes long")],
                BODY,
                Err(Malformed),
                "an unknown scheme",
            ),
            (
                &[CURRENT],
                &[("proxy-authorization", "Bearer the current secret, 32 bytes long")],
                BODY,
                Err(Missing),
                "another header",
            ),
            (&[CURRENT], &[("x-apikey", "the current secret, 32 bytes long")], BODY, Err(Missing), "nearly the header"),
            (
                &[CURRENT],
                &[("x-api-key", "the current secret, 32 bytes long"), ("x-webhook-signature", "x")],
                BODY,
                Ok(0),
                "headers of other schemes beside it do not count",
            ),
            (&[CURRENT], &[("x-api-key", "*")], BODY, Err(Mismatch), "a wildcard"),
            (
                &[CURRENT],
                &[("x-api-key", "0743b61568464695aad4e4c18e9ed3eb7befcbcc898ee3ef246afeb6a1cec4cc")],
                BODY,
                Err(Mismatch),
                "the hash that is compared",
            ),
            (
                &[CURRENT],
                &[("x-api-key", "the current secret, 32 bytes long,the current secret, 32 bytes long")],
                BODY,
                Err(Mismatch),
                "the key twice in one header",
            ),
            (&["ключ из букв"], &[("x-api-key", "ключ из букв")], BODY, Ok(0), "a key beyond ASCII is its UTF-8"),
        ],
    );
}
