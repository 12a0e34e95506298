//! What looks like a link.

use std::sync::LazyLock;

use regex::Regex;

use super::clean::Pattern;

/// Country code domains, and the generic ones that messengers are known to turn into links.
const TOP_LEVEL: &str = "ac|ad|ae|af|ag|ai|al|am|ao|aq|ar|as|at|au|aw|ax|az|ba|bb|bd|be|bf|bg|bh|bi|bj|bm|bn|bo|br|bs|\
    bt|bw|by|bz|ca|cc|cd|cf|cg|ch|ci|ck|cl|cm|cn|co|cr|cu|cv|cw|cx|cy|cz|de|dj|dk|dm|do|dz|ec|ee|eg|er|es|et|eu|fi|fj|\
    fk|fm|fo|fr|ga|gb|gd|ge|gf|gg|gh|gi|gl|gm|gn|gp|gq|gr|gs|gt|gu|gw|gy|hk|hm|hn|hr|ht|hu|id|ie|il|im|in|io|iq|ir|is|\
    it|je|jm|jo|jp|ke|kg|kh|ki|km|kn|kp|kr|kw|ky|kz|la|lb|lc|li|lk|lr|ls|lt|lu|lv|ly|ma|mc|md|me|mg|mh|mk|ml|mm|mn|mo|\
    mp|mq|mr|ms|mt|mu|mv|mw|mx|my|mz|na|nc|ne|nf|ng|ni|nl|no|np|nr|nu|nz|om|pa|pe|pf|pg|ph|pk|pl|pm|pn|pr|ps|pt|pw|py|\
    qa|re|ro|rs|ru|rw|sa|sb|sc|sd|se|sg|sh|si|sk|sl|sm|sn|so|sr|ss|st|su|sv|sx|sy|sz|tc|td|tf|tg|th|tj|tk|tl|tm|tn|to|\
    tr|tt|tv|tw|tz|ua|ug|uk|us|uy|uz|va|vc|ve|vg|vi|vn|vu|wf|ws|ye|yt|za|zm|zw|\
    com|net|org|info|biz|edu|gov|mil|int|arpa|aero|agency|app|art|asia|attorney|autos|bank|bar|beauty|best|bet|bid|\
    blog|bond|business|buzz|cam|capital|cards|care|cash|casino|cat|center|cfd|chat|city|claims|click|clinic|cloud|\
    club|codes|community|company|computer|consulting|coop|credit|creditcard|cyou|dad|date|deals|delivery|dental|dev|\
    digital|direct|directory|discount|doctor|domains|education|email|energy|engineering|enterprises|esq|estate|events|\
    exchange|expert|express|fashion|finance|financial|fit|foo|forum|foundation|fun|fund|gallery|games|gdn|gift|gifts|\
    global|gmbh|group|guide|guru|haus|health|healthcare|help|holdings|hospital|host|hosting|icu|immo|immobilien|inc|\
    ink|institute|insurance|insure|international|investments|jobs|kim|land|law|lawyer|legal|life|limited|link|live|\
    llc|loan|loans|lol|ltd|management|market|marketing|media|men|mobi|money|monster|mortgage|mov|movie|museum|name|\
    network|news|nexus|ninja|one|online|ooo|page|partners|party|pay|phd|phone|photo|photos|pics|plus|press|pro|prof|\
    promo|properties|quest|racing|red|reisen|rent|rentals|repair|report|rest|restaurant|review|reviews|rip|rocks|sale|\
    sbs|school|science|security|services|shop|shopping|site|social|software|solutions|space|storage|store|stream|\
    studio|style|supplies|supply|support|surgery|systems|tax|taxi|team|tech|technology|tel|tickets|tips|today|tools|\
    top|tours|town|trade|training|travel|university|ventures|versicherung|video|vip|vision|wang|watch|web|website|\
    wiki|win|wine|work|world|wtf|xin|xyz|zip|zone|xn--[a-z0-9-]+";

/// The same in other scripts.
const TOP_LEVEL_ELSEWHERE: &str = "рф|рус|онлайн|сайт|укр|бел|срб|мкд|中国|中國|中文网|公司|网络|在线|香港|台湾|みんな|コム|한국|닷컴|\
    السعودية|مصر|امارات|भारत|ไทย";

/// What may stand in an address after its scheme or its host. ASCII only: the text around it need not use blanks.
const ADDRESS: &str = r##"[!#-&*-;=?-Z\\_a-z~]"##;

/// The dots that browsers take for one between the labels of a host.
pub(super) const DOTS: [char; 6] = ['.', '。', '．', '｡', '\u{2024}', '﹒'];

/// The sign of an e-mail address, and of a user's name before a host.
pub(super) const AT: [char; 3] = ['@', '＠', '﹫'];

pub(super) static IMAGES: Pattern = LazyLock::new(|| Regex::new(r"!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])"));

/// A markdown link: its text, its target.
pub(super) static MARKDOWN: Pattern = LazyLock::new(|| Regex::new(r"\[([^\[\]]*)\]\(\s*<?([^)\s>]*)[^)]*\)"));

/// What is left of a markdown link whose words have brackets of their own: its target.
pub(super) static TARGETS: Pattern = LazyLock::new(|| Regex::new(r"\]\(\s*<?([^)\s>]*)[^)]*\)"));

/// An address with a scheme (1; browsers take backslashes for slashes, and need neither after `https:`), a script, data or
/// telephone address, a bare domain or e-mail address (2, 3) with what may surround it, or an IP address with a port or
/// path.
///
/// Below which top a domain stands matters only where nothing else tells that it is one. A port, a path or a query does
/// (2), or `www.`, slashes or an `@` before it.
///
/// A label is ASCII or has none of it, so that words of a language without blanks end where a domain begins. Between
/// ASCII labels every dot counts that browsers accept.
pub(super) static ADDRESSES: Pattern = LazyLock::new(|| {
    let ascii = "[a-z0-9][a-z0-9_-]*";
    let other = r"[\p{L}\p{M}\p{N}&&[^\x00-\x7f]]+";
    let surely = format!(
        "(?:(?:[a-z0-9._%+-]+|[^\\x00-\\x7f])[@＠﹫]|[/\\\\]{{2}}|www[.．])\
        (?:(?:{ascii}|{other})[.．])+(?:[a-z]{{2,}}(?-u:\\b)|xn--[a-z0-9-]+|{other})"
    );
    let goes_on = r"(?::[0-9]|/(?:[a-z0-9_~%@#?=&+*/-]|[^\x00-\x7f\s])|\?[a-z0-9_.%-]+=)";
    let end = format!("(?:{TOP_LEVEL})(?-u:\\b)");
    let domain = format!("(?:(?:{ascii}|{other})[.．])+(?:{end}|{TOP_LEVEL_ELSEWHERE})|(?:{ascii}[.。．｡])+{end}");
    Regex::new(&format!(
        "(?i)([a-z][a-z0-9+.-]*:[/\\\\]{{2}}(?:\\[[0-9a-f:.%]*\\])?{ADDRESS}*|(?:https?|ftp|wss?):{ADDRESS}+)\
        |(?:(?:java|vb)script:|data:[a-z]+/)\\S+|(?:tel|sms):{ADDRESS}+\
        |((?:{ascii}[.．])+[a-z]{{2,}}){goes_on}{ADDRESS}*\
        |(?:mailto:)?({surely}|(?:[a-z0-9._%+-]+[@＠﹫])?(?:{domain}))(?::[0-9]+)?(?:[/?#]{ADDRESS}*)?\
        |(?-u:\\b)[0-9]{{1,3}}(?:[.][0-9]{{1,3}}){{3}}[:/]{ADDRESS}*"
    ))
});
