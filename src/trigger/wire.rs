//! The forms of single fields for the interface's description (OpenAPI). `parse` and `values` hold them; a test and a fuzz
//! run against the real ingress compare the two.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{ObjectBuilder, OneOfBuilder, Type},
    },
};

macro_rules! form {
    ($(#[$doc:meta])* $name:ident, $schema:expr) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                $schema
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    };
}

form!(/// A name that some system gave, not blank.
    Identifier, text(
    "1 to 256 characters, none of them a control character, not all of them white space",
    "^[^\\u0000-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u001f\\u007f-\\u009f]*$",
    256,
));

form!(/// A name that may be missing.
    Name, text(
    "At most 256 characters, none of them a control character; blank means absent",
    "^[^\\u0000-\\u001f\\u007f-\\u009f]*$",
    256,
));

form!(/// A language.
    LanguageTag, OneOfBuilder::new()
    .item(text(
        "A language tag of BCP 47, such as en-US",
        "^[A-Za-z][A-Za-z0-9]{0,7}(-[A-Za-z0-9]{1,8})*$",
        35,
    ))
    .item(text(
        "Blank means absent",
        "^[ \\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]*$",
        256,
    ))
    .into());

form!(/// A confidence.
    Score, OneOfBuilder::new()
    .item(ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0.0)).maximum(Some(1.0)))
    .item(text("The same as text, as a flow's expressions yield it", "^(0(\\.[0-9]{1,15})?|1(\\.0{1,15})?)$", 17))
    .into());

fn text(description: &str, pattern: &str, most: usize) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .pattern(Some(pattern))
        .max_length(Some(most))
        .into()
}
