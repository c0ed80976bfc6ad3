"""Codes and English names of languages, as columns and files are called after them."""

from __future__ import annotations

# ISO 639-1, and three letters of those that have much text.
CODES = frozenset({
    "aa", "ab", "af", "ak", "am", "an", "ar", "as", "av", "ay", "az", "ba", "be", "bg", "bh", "bi", "bm", "bn",
    "bo", "br", "bs", "ca", "ce", "ch", "cn", "co", "cr", "cs", "cv", "cy", "da", "de", "dv", "dz", "ee", "el",
    "en", "eo", "es", "et", "eu", "fa", "ff", "fi", "fj", "fo", "fr", "fy", "ga", "gd", "gl", "gn", "gu", "gv",
    "ha", "he", "hi", "ho", "hr", "ht", "hu", "hy", "hz", "ia", "id", "ie", "ig", "ii", "ik", "io", "is", "it",
    "iu", "ja", "jp", "jv", "ka", "kg", "ki", "kj", "kk", "kl", "km", "kn", "ko", "kr", "ks", "ku", "kv", "kw",
    "ky", "la", "lb", "lg", "li", "ln", "lo", "lt", "lu", "lv", "mg", "mh", "mi", "mk", "ml", "mn", "mr", "ms",
    "mt", "my", "na", "nb", "nd", "ne", "ng", "nl", "nn", "no", "nr", "nv", "ny", "oc", "oj", "om", "or", "os",
    "pa", "pi", "pl", "ps", "pt", "qu", "rm", "rn", "ro", "ru", "rw", "sa", "sc", "sd", "se", "sg", "si", "sk",
    "sl", "sm", "sn", "so", "sq", "sr", "ss", "st", "su", "sv", "sw", "ta", "te", "tg", "th", "ti", "tk", "tl",
    "tn", "to", "tr", "ts", "tt", "tw", "ty", "ug", "uk", "ur", "uz", "ve", "vi", "vo", "wa", "wo", "xh", "yi",
    "yo", "za", "zh", "zu", "afr", "amh", "ara", "aze", "ben", "bul", "cat", "ces", "chi", "cmn", "cym", "cze",
    "dan", "deu", "dut", "ell", "eng", "epo", "est", "eus", "fas", "fin", "fra", "fre", "ger", "gle", "glg", "gre",
    "guj", "hau", "heb", "hin", "hrv", "hun", "hye", "ibo", "ind", "isl", "ita", "jpn", "kat", "kaz", "khm", "kor",
    "lao", "lat", "lav", "lit", "mar", "may", "mkd", "mon", "msa", "mya", "nep", "nld", "nno", "nob", "nor", "per",
    "pol", "por", "ron", "rum", "rus", "sin", "slk", "slo", "slv", "spa", "sqi", "srp", "swa", "swe", "tam", "tel",
    "tgl", "tha", "tur", "ukr", "urd", "uzb", "vie", "xho", "yor", "zho", "zul",
})  # fmt: skip
NAMES = frozenset({
    "afrikaans", "albanian", "amharic", "arabic", "armenian", "azerbaijani", "basque", "belarusian", "bengali",
    "bosnian", "bulgarian", "catalan", "chinese", "croatian", "czech", "danish", "dutch", "english", "esperanto",
    "estonian", "finnish", "french", "galician", "georgian", "german", "greek", "gujarati", "hausa", "hebrew",
    "hindi", "hungarian", "icelandic", "igbo", "indonesian", "irish", "italian", "japanese", "kannada", "kazakh",
    "khmer", "korean", "lao", "latin", "latvian", "lithuanian", "macedonian", "malay", "malayalam", "mandarin",
    "marathi", "mongolian", "nepali", "norwegian", "persian", "polish", "portuguese", "punjabi", "romanian",
    "russian", "serbian", "sinhala", "slovak", "slovenian", "somali", "spanish", "swahili", "swedish", "tagalog",
    "tamil", "telugu", "thai", "turkish", "ukrainian", "urdu", "uzbek", "vietnamese", "welsh", "xhosa", "yoruba",
    "zulu",
})  # fmt: skip
