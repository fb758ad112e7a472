"""What instructions to a model look like, in the languages that documents come in.

The patterns are for text as `injection.folded` makes it: lower case, without accents, invisible characters
and forms of quotation marks. A `Phrase` that is an order counts only where it stands as one: “the system
shall ignore all previous instructions” tells of something, “Ignore all previous instructions.” orders it.
"""

import re
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Phrase:
    """One manner of speaking to a model."""

    pattern: re.Pattern[str]
    order: bool
    """It begins with a verb that has to be an order where it stands."""


_AI = (
    r"(?:ai|a\.i\.|ki|ia|llms?|gpt(?:-?\d\w*)?|chatgpt|claude|copilot|(?:large )?language models?|"
    r"chat ?bots?|ai[ -](?:assistants?|models?|systems?|agents?|reviewers?|readers?|tools?|bots?)|"
    r"(?:virtual|digital|automated|artificial|automatic) (?:assistants?|intelligence|agents?|reviewers?))"
)
_FEW = r"(?:[\w'.,/-]+\s+){0,5}?"
_TEXT = (
    r"(?:document|text|contract|agreement|e-?mail|message|invoice|file|page|application|candidate|resume|cv|"
    r"paper|manuscript|submission|report|letter|record|ticket|review)"
)

# ---------------------------------------------------------------- English

_RULES = (
    r"(?:instructions?|prompts?|rules|directions|guidelines|commands|directives|constraints|restrictions|"
    r"programming|training|safeguards|context|schema|system messages?|safety polic(?:y|ies)|"
    r"content polic(?:y|ies)|tasks?|labels)\b"
)
_EARLIER = (
    r"(?:previous|prior|preceding|earlier|above|foregoing|former|existing|original|initial|system|your|"
    r"developer|all|any|those|the other)"
)
_OVERRIDE = (
    r"(?:ignore|disregard|forget|override|bypass|overlook|neglect|stop following|pay no attention to|"
    r"(?:do not|don't|never) (?:follow|obey|comply with))"
)
_SAY = r"(?:respond|reply|answer|output|print|say|state|return|write|report|conclude|summari[sz]e)"
_HIDE = r"(?:do not|don't|never|avoid|without) (?:ever )?"
_ENGLISH_ORDERS = (
    r"(?:set aside|skip|abandon|drop|leave|put aside|cast off|ignore|disregard|forget|stop following|stop "
    r"obeying) (?:\w+ ){0,3}?(?:your|earlier|what(?:ever)?|the user'?s?|the schema|the output) (?:\w+ ){0,4}?"
    r"(?:guidance|role|rules|schema|constraints|format|user (?:asked|wants|said|requested)|task|request|"
    r"question|identity|restrictions|(?:were|was|are) (?:told|asked|given|instructed))\b",
    r"(?:ignore|disregard|drop|abandon) (?:the|this|that|any|your) (?:json |output |response )?schema\b",
    rf"(?:{_SAY}|respond|call|approve)\b[^.!?\n]{{0,60}}\b(?:and|,) nothing else\b",
    rf"stop (?:being|acting as|behaving like) (?:an? |the )?(?:\w+ )?(?:{_AI}|assistant)\b",
    r"treat (?:every|all|each|any) [\w ]{1,40} as (?:zero|approved|valid|true|correct|harmless|paid)\b",
    r"(?:visit|open|fetch|load|request|get) https?://\S+[?&]\w+= ?(?:followed by|\{|<|\[|with)",
    r"let'?s play a game\b.{0,40}\b(?:you|no (?:rules|restrictions))",
    rf"{_OVERRIDE}\s+{_FEW}{_EARLIER}\s+{_FEW}{_RULES}",
    rf"{_OVERRIDE}\s+{_FEW}(?:instructions|prompts?|rules|guidelines|directives) "
    r"(?:above|before|so far|given|you|in (?:your|the) (?:system|prompt))",
    r"(?:ignore|disregard|forget) (?:everything|anything|all|what(?:ever)?) (?:of the |that |text )?"
    r"(?:above|before|previous(?:ly)?|prior|else|you (?:were|have been|know|learned)|i (?:said|told)|"
    r"came before|was said|preceding)",
    r"pretend (?:to be|that you|you are|you're|you have)\b",
    rf"(?:act|behave|respond|answer|speak|roleplay|role-play) (?:as|like) (?:an? |the |if you (?:are|were) )?"
    rf"{_FEW}(?:{_AI}|dan|terminal|hacker|jailbroken|unrestricted|uncensored|unfiltered|pirate|no (?:rules|"
    r"restrictions))\b",
    r"(?:reveal|repeat|print|show|output|display|leak|disclose|write out|tell me|expose|dump|quote|return) "
    rf"{_FEW}(?:(?:your|the) (?:system|hidden|initial|original|secret|full|entire|complete|own)?\s?"
    r"(?:prompt|instructions)\b|(?:system|hidden|developer|secret) (?:prompt|message|instructions)\b)",
    r"(?:reveal|repeat|print|show|output|display|leak|disclose) (?:everything|all|the (?:text|words)) "
    r"(?:above|before (?:this|that))",
    rf"{_SAY} (?:to (?:the user|every\w*|all \w+) )?(?:only |just |simply )?with (?:only |just |nothing but |"
    r"exactly |the (?:single |exact |following )?(?:words?|phrase|string|text|label|sentence|token|"
    r"answer|number)\b)",
    rf"(?:{_SAY}|respond) (?:only|exactly|nothing but|solely|exclusively|just) (?:the (?:words?|phrase|"
    rf"string|"
    r"text|label|sentence|token|following|json|number)\b|with\b|in (?:json|base64|pirate|emoji|rhyme)|json\b|"
    r"valid json|[\"'{])",
    rf"(?:{_SAY}|respond) (?:with )?[\"'][^\"'\n]{{1,60}}[\"'](?! or\b| if\b|,| to (?:the|question))"
    r"(?=.{0,40}\b(?:only|nothing else|instead|regardless|always|no matter|to every\w*|and stop))",
    rf"{_HIDE}(?:mention|reveal|disclose|refer to|acknowledge|report|tell (?:the user|any\w+) about|quote|"
    r"repeat) (?:of )?(?:this|these|those|that you|the) (?:hidden |secret |above )?(?:instructions?|"
    r"messages?|"
    r"notes?|prompts?|commands?|directives?|sentences?|were|have been|received)\b",
    rf"{_HIDE}(?:mention|include|report|extract|summari[sz]e|flag|highlight|list|tell)\b.{{0,80}}\b(?:in|"
    rf"from) "
    r"(?:your|the|any) (?:summary|output|extraction|translation|classification|final answer|review|json)\b",
    rf"{_HIDE}(?:tell|inform|warn|alert|notify) the user\b",
    r"(?:do not|don't|never) (?:highlight|mention|list|include|report) any (?:negatives?|weakness\w*|flaws?)",
    rf"(?:classify|label|categori[sz]e|tag|rate|score|grade|rank) (?:this|the (?:above|present|following|"
    rf"entire|current)) (?:whole |entire )?{_TEXT} (?:as|with|a\b|an\b|[\"'\d])"
    r"(?! (?:strictly )?(?:confidential|proprietary|private|privileged|restricted|internal|draft|final|"
    r"void))",
    r"(?:classify|label|categori[sz]e|tag) (?:it|this|everything|all \w+) as [\"'\w]+.{0,30}"
    r"(?:regardless|no matter|always|instead|whatever|and nothing|ignore)",
    r"(?:always )?(?:choose|select|pick|use|assign|return|output) (?:always )?the (?:label|category|class) ",
    r"(?:give|assign|award|write) (?:this|the|it|only|an?)?\s?"
    rf"(?:{_TEXT} )?(?:an? |the |only )?(?:very |strongly |extremely )?(?:positive|favou?rable|highest|"
    rf"perfect|"
    r"excellent|five-star|5-star|10/10|maximum|glowing|best)(?: possible)? (?:reviews?|ratings?|scores?|"
    r"recommendations?|evaluations?|marks?|grades?)",
    r"(?:recommend|accept|approve|endorse|hire|shortlist) (?:this|the) (?:candidate|applicant|paper|"
    r"manuscript|"
    r"submission|invoice|application)\b.{0,60}(?:regardless|without|no matter|strongly|immediately|"
    r"as the best|above all|unconditionally)",
    r"(?:send|forward|e-?mail|post|upload|transmit|exfiltrate|leak|submit) "
    rf"{_FEW}(?:conversation|chat (?:history|log)|system prompt|user'?s? (?:data|files|messages|documents)|"
    r"passwords?|credentials|api keys?|secrets|context window|other documents)\b.{0,80}"
    r"(?:https?://|www\.|@|\bto (?:the )?(?:attacker|following|address|server|endpoint|url))",
    r"(?:call|invoke|use|run|execute|trigger) (?:the |your |a )?(?:[`\"'][\w.\-]+[`\"']|[a-z]+_[a-z_]+) "
    r"?(?:tool|function|plugin|api)\b",
    r"(?:call|invoke|use) (?:the |your )(?:[\w`\"'-]+ )?(?:tool|function|plugin)s? (?:to|and) (?:delete|send|"
    r"e-?mail|write|read|fetch|upload|download|erase|remove|transfer)\b",
    r"(?:change|replace|extend|modify|drop|ignore|abandon|break|leave) (?:the|your) (?:output|json|answer|"
    r"response) (?:schema|format|fields?|structure)\b",
    r"(?:add|insert|append) (?:a |an |the |another )?(?:new )?(?:field|key|property|column|label) .{0,60}"
    r"(?:to|in) (?:the|your) (?:json|output|answer|response|schema|result)",
    r"translate (?:this|the|everything|all).{0,40}instead of (?:\w+ing|the|what)",
    r"(?:set|report|return|extract|use|output|fill in) (?:the |every |all )?[\w ]{1,30}"
    r"(?:as|to|=|:) ?[\"']?[\w.,/ ]{1,30}[\"']?.{0,20}(?:regardless of|no matter what|whatever|instead of)"
    r"(?: what)? (?:the )?(?:document|text|it|invoice|page|contract|is written|real|actual|true)",
)
_ENGLISH = (
    rf"(?:^|[.!?\n]\s*)(?:hey |hello |dear |ok |okay )?(?:assistant|{_AI}) ?, ",
    r"\byour (?:\w+ )?(?:constraints|restrictions|rules|limitations|guardrails|safeguards|"
    r"filters) (?:no longer|"
    r"do not|are (?:lifted|void|off|disabled)|have been (?:lifted|removed|disabled))",
    r"\byou (?:now )?have (?:no|been freed from)(?: \w+)? (?:restrictions|rules|limits|constraints|"
    r"filters)\b",
    r"\byou are (?:now )?the (?:administrator|developer|root|system|operator)(?: now)?\b(?! of)",
    r"\b(?:hidden|system|initial|secret) prompts?\b(?! (?:payment|box|window|string|\$))",
    r"\b(?:the|your) (?:real|actual|true|only) task(?: is)? ?:",
    r"(?:^|\n)\s*(?:system )?override ?:",
    rf"\b(?:(?:grading|evaluating|reviewing|scoring|screening|judging) model|"
    rf"{_AI} (?:\w+ing [^.!?\n]{{0,40}}))"
    r" ?(?:should|must|has to|have to|needs? to|is (?:asked|required) to) (?:output|give|award|call|say|rate|"
    r"score|report|state|write|approve|accept|answer|recommend)\b",
    rf"\b(?:to|for) (?:the |any |all |every )?{_AI} (?:\w+ing) (?:this|the|my|our)\b[^.!?\n]{{0,40}}:",
    r"\byou are now (?:in )?(?:an? |the |my )?(?:\w+ ){0,2}(?:dan\b|developer mode|jailbr\w+|unrestricted|"
    rf"uncensored|unfiltered|evil|free (?:from|of)|different|{_AI}\b|assistant\b|pirate|hacker|god mode|"
    r"debug mode|admin\w* mode|maintenance mode|root\b|persona|expert\b|character)",
    rf"\byou are (?:an? |the |my )(?:[\w-]+ ){{0,3}}(?:{_AI}|(?:helpful|loyal|obedient|harmless|honest|"
    r"friendly|evil|unrestricted) assistant)\b",
    rf"\b(?:if|since|because|when|as) you(?: are|'re) (?:an? |the |being an? |reading this as an? )"
    rf"(?:[\w-]+ ){{0,3}}{_AI}\b",
    rf"\bas an? (?:[\w-]+ )?{_AI},? (?:you|your|please|ignore|do not|always)\b",
    rf"\b(?:attention|note|notice|message|instructions?|dear|hey|hello|warning|important|memo|p\.?s\.?)"
    rf"(?: ?[:,!]| to| for)+ ?(?:all |any |the |every |our )*{_AI}\b",
    rf"\b{_AI} (?:that (?:is|are) )?(?:reading|processing|analy[sz]ing|summari[sz]ing|reviewing|parsing|"
    rf"evaluating|grading|screening|handling|extracting|asked|classifying) (?:of |from |to )?(?:this|the)\b",
    rf"\b{_AI} (?:must|should|shall|will|has to|have to|is to|are to|needs? to)(?: now| always| only)? "
    r"(?:respond|reply|answer|say|state|classify|label|summari[sz]e|ignore|disregard|recommend|mention|"
    r"output|rate|give|write|treat|reveal|forget|obey|pretend)\b",
    r"\bfrom (?:now on|this (?:point|moment) (?:on|forward|onwards?)),? (?:you(?:r|'re)?\b|respond|answer|"
    r"reply|act|speak|always|only|behave|output|write|classify|summari[sz]e|ignore|pretend|talk|translate)",
    r"\byour (?:new|real|true|actual|only|sole|updated|next) (?:task|job|role|goal|instructions?|purpose|"
    r"objective|mission|system prompt|persona|directive)s? (?:is|are|now|will|:)",
    r"\byour (?:system prompt|previous instructions|original instructions|initial instructions|"
    r"safety guidelines|content policy|hidden instructions|training data|guardrails)\b",
    r"\byou (?:must|should|will|shall|have to|are to|need to|can)(?: now| always| only| immediately| never| "
    r"not)* (?:ignore|disregard|forget|stop following|override|bypass|disobey) ",
    r"\byou (?:must|should|will|shall|have to|are to)(?: now| always| only)* (?:respond|reply|answer|output)"
    r"(?: only| always)? (?:with|in|the word|as)\b",
    r"\bnew (?:system )?(?:instructions?|directives?|prompt)(?: for (?:the |you|an? )?[\w ]{0,20})? ?:",
    r"\b(?:updated|real|actual|hidden|secret|override|admin\w*|priority) "
    r"(?:system )?(?:instructions?|directives?|prompt)(?: for (?:the |you|an? )?[\w ]{0,20})? ?:",
    r"\b(?:end|begin|start|beginning) (?:of )?(?:the )?(?:system (?:prompt|messages?|instructions?)|user "
    r"(?:input|prompt|query)|untrusted (?:data|input|content)|context window|assistant (?:message|turn))\b",
    r"\b(?:these|the following|my|this) (?:new |next )?(?:instructions?|commands?|messages?|directives?|"
    r"prompts?) (?:override|overrides|replaces?|supersedes?|takes? (?:precedence|priority) over) "
    r"(?:all |any |the |your )*(?:\w+ )?(?:instructions|prompts?|rules|guidelines|directives)",
    r"\b(?:system|developer|admin\w*) (?:override|prompt injection|prompt) ?[:!]",
    r"\b(?:do anything now|jailbreak(?:ed)? mode|developer mode (?:enabled|on|activated)|god mode)\b",
    r"\bthe (?:correct|right|only|true|expected|desired|required) (?:label|classification|category|output|"
    rf"summary|extraction|verdict)(?: of| for)?(?: this {_TEXT})? (?:is|must be|should be|will be)\b",
    r"\byour (?:output|summary|extraction|translation|classification|final answer|answer|response|reply) "
    r"(?:must|should|shall|will|is to|has to)(?: always| only| now)? (?:be|say|contain|read|state|begin|"
    r"start|end|consist|include)\b(?! (?:no more|submitted|received|sent|returned|signed|typed|in writing))",
    r"\b(?:when|whenever|if) (?:you are )?(?:asked|you summari[sz]e|summari[sz]ing|the user asks|anyone asks|"
    r"the reader asks|questioned|you classify|you extract)\b.{0,60}(?:,|then) ?(?:say|answer|reply|respond|"
    r"state|always|tell|report|you must|output|write|return|claim|deny)\b",
)

# ---------------------------------------------------------------- other languages

_GERMAN_RULES = (
    r"(?:anweisung(?:en)?|instruktion(?:en)?|vorgaben?|regeln|befehle?n?|prompts?|anleitung(?:en)?|"
    r"richtlinien|systemprompts?|aufgaben?|auftrag)\b"
)
_GERMAN_ORDERS = (
    rf"(?:ignorier(?:e|en sie|t)?|missachte(?:n sie)?|vergiss|vergessen sie|vergesst|uberg(?:ehe|ehen sie)|"
    rf"umgehe(?:n sie)?|beachte(?:n sie)?|befolge(?:n sie)?) {_FEW}(?:bisherigen?|vorherigen?|fruheren?|"
    rf"obigen?|vorigen?|vorangehenden?|vorangegangenen?|deine?[mnr]?|ihre?[mnr]?|alle[snr]?|ursprunglichen?|"
    rf"gegebenen?|systemanweisungen) ?{_FEW}{_GERMAN_RULES}(?! des herstellers)",
    r"(?:ignorier(?:e|en sie|t)?|vergiss|vergessen sie) (?:alles|was),? (?:bisher\w*|vorher\w*|oben|davor|"
    r"was|zuvor|andere|du|sie)",
    rf"(?:antworte|antworten sie|gib|geben sie|schreibe?|schreiben sie|sage?|sagen sie) {_FEW}"
    r"(?:nur|ausschliesslich|immer|lediglich|stets|einzig)(?: noch)? (?:mit|auf|das wort|[\"'])",
    r"(?:erwahne?|erwahnen sie|verrate|verraten sie|nenne|nennen sie|zitiere|zitieren sie|offenbare) "
    r"(?:diese?n?|diesen?|die) (?:\w+ )?(?:anweisung(?:en)?|satz|hinweis|nachricht|text|instruktion(?:en)?) "
    r"(?:\w+ )?nicht",
    rf"(?:zeige?|zeigen sie|verrate|verraten sie|gib|geben sie|nenne|wiederhole|offenbare) {_FEW}"
    r"(?:system-?prompt|systemanweisung(?:en)?|system-?nachricht|dein(?:e[mnr]?)? (?:prompt|anweisungen))",
    r"(?:klassifiziere|klassifizieren sie|ordne|ordnen sie|bewerte|bewerten sie|stufe|stufen sie|"
    r"kennzeichne|kategorisiere|kategorisieren sie) (?:dieses?n?|diese|den|das) "
    r"(?:dokument|text|vertrag|rechnung|bewerbung|kandidaten|bewerber|schreiben|mail|e-mail|seite)\b.{0,20}"
    r"\b(?:als|unter|positiv|mit (?:der (?:best)?note|[\"'\d]))(?! (?:streng )?vertraulich)",
    r"(?:tu|tue|tun sie) so,? als",
    r"(?:verhalte dich|verhalten sie sich|agiere|handle|antworte) (?:\w+ )?(?:wie|als) (?:eine?n? )?(?:\w+ )?"
    r"(?:ki|assistent|pirat|hacker|sprachmodell|chatbot|terminal)\b",
)
_GERMAN = (
    r"\bals (?:ki|ki-\w+|sprachmodell|assistent|chatbot) (?:musst|sollst|wirst|darfst|kannst) du\b",
    r"\bvergiss (?:deine|alle deine) (?:rolle|regeln|aufgabe|anweisungen|vorgaben|identitat)\b",
    r"\bdu (?:musst|sollst|darfst|wirst)\b[^.!?\n]{0,40}\b(?:antworten|ausgeben|genehmigen|ignorieren|"
    r"bewerten|schreiben)\b",
    r"\b(?:du bist|sie sind) (?:jetzt |nun |ab (?:jetzt|sofort) )?(?:eine?n? |der |die )?(?:\w+ ){0,2}"
    r"(?:ki|ki-\w+|assistent|sprachmodell|chatbot|hacker|pirat|dan|sprachassistent)\b",
    r"\b(?:ab (?:jetzt|sofort)|von (?:nun|jetzt) an),? (?:antwort\w+|bist du|sind sie ein|gibst du|wirst du|"
    r"sollst du|musst du|ignorier\w+|schreib\w* (?:du|nur)|sprich)",
    r"\b(?:an (?:alle |die |das |jede )*|hinweis (?:an|fur) (?:alle |die |das |jede )*|achtung,? |"
    r"nachricht an (?:die |das )?|wenn du (?:eine? )|falls du (?:eine? )|falls sie (?:eine? )|"
    r"wenn sie (?:eine? ))(?:ki|ki-\w+|sprachmodelle?|chatbots?|llms?|chatgpt)\b",
    r"\b(?:deine|ihre) (?:neue|eigentliche|einzige|wahre|wirkliche) (?:aufgabe|anweisung|rolle)\b.{0,3}"
    r"(?:ist|lautet|:)",
    r"\bneue (?:system)?(?:anweisung(?:en)?|instruktion(?:en)?)(?: fur \w+(?: \w+)?)? ?:",
    r"\bdie (?:richtige|einzige|korrekte) (?:klasse|kategorie|einstufung|klassifikation)\b.{0,30}\b"
    r"(?:ist|lautet)\b",
)

_FRENCH_RULES = r"(?:instructions?|consignes?|regles|directives?|prompts?|ordres|commandes|contraintes)\b"
_FRENCH_ORDERS = (
    rf"(?:ignor(?:e|ez|er)|oubli(?:e|ez|er)|neglig(?:e|ez)|ne (?:tiens|tenez) (?:pas|aucun) compte (?:de|"
    rf"des)|"
    rf"(?:ne )?(?:suis|suivez) (?:pas|plus)|contourn(?:e|ez)) {_FEW}{_FRENCH_RULES} {_FEW}"
    r"(?:precedent|anterieur|ci-dessus|initial|ci dessus|donnee|recue|plus haut|d'origine|systeme|"
    r"du systeme|que)",
    rf"(?:ignor(?:e|ez|er)|oubli(?:e|ez|er)) {_FEW}(?:toutes (?:les|tes|vos)|tes|vos|tout(?:es)?) {_FEW}"
    rf"{_FRENCH_RULES}",
    r"(?:ignor(?:e|ez)|oubli(?:e|ez)) tout ce qui (?:precede|a ete|est)",
    r"(?:reponds|repondez|ecris|ecrivez|affiche|affichez|renvoie|renvoyez|dis|dites) "
    r"(?:toujours |simplement |desormais )?(?:uniquement|seulement|exclusivement|juste|toujours|"
    r"le mot|par le mot|rien d'autre)\b",
    r"(?:ne )?(?:mentionn(?:e|ez)|revel(?:e|ez)|cit(?:e|ez)|divulgu(?:e|ez)) (?:pas|jamais) "
    r"(?:cette|ces|ce) (?:instructions?|message|consignes?|phrase|note|texte)",
    rf"(?:revel(?:e|ez)|affich(?:e|ez)|montr(?:e|ez)|repet(?:e|ez)|donn(?:e|ez)) {_FEW}(?:prompt systeme|"
    r"prompt du systeme|invite systeme|instructions systeme|message systeme|tes instructions|"
    r"vos instructions)",
    r"(?:class(?:e|ez)|etiquet(?:te|ez)|not(?:e|ez)|evalu(?:e|ez)|categoris(?:e|ez)) (?:ce|cette|cet|"
    r"le present) "
    r"(?:document|texte|contrat|facture|candidat|candidature|message|courriel|page|article)\b.{0,20}"
    r"\b(?:comme|dans|en tant que|avec)\b(?! confidentiel)",
    r"(?:fais|faites) (?:semblant|comme si)",
    r"(?:agis|agissez|comporte-toi|comportez-vous) (?:comme|en tant que?) (?:une? )?(?:\w+ )?(?:ia|assistant|"
    r"pirate|hacker|chatbot|modele|si tu|si vous)",
)
_FRENCH = (
    r"\btu (?:dois|devras|vas) (?:\w+ )?(?:repondre|dire|ecrire|approuver|ignorer|accepter|classer)\b",
    r"\ben tant qu(?:'|e )(?:ia|intelligence artificielle|modele de langage|assistant)\b,? (?:tu|vous)",
    r"\b(?:oublie|abandonne|quitte) (?:ton role|tes regles|ta mission)",
    r"\b(?:tu es|vous etes) (?:maintenant |desormais |a present )?(?:une? |le |la )?(?:\w+ ){0,2}"
    r"(?:ia|intelligence artificielle|assistant (?:ia|virtuel|sans|libre)|chatbot|modele de langage|hacker|"
    r"pirate|dan)\b",
    r"\b(?:desormais|a partir de maintenant|dorenavant),? (?:tu |vous (?:etes une?|devez repondre|repondez)|"
    r"reponds|repondez|ignor)",
    r"\b(?:si (?:tu es|vous etes) (?:une? )|(?:note|message) (?:aux? |pour les? |(?:a|pour) l')|"
    r"attention,? (?:aux? )?|a l'attention des? )(?:ia|intelligences? artificielles?|modeles? de langage|"
    r"assistants? (?:ia|virtuels?)|chatbots?|llms?|chatgpt)\b",
    r"\b(?:ta|votre) (?:nouvelle|vraie|veritable|seule) (?:tache|mission|instruction|consigne)s? (?:est|:)",
    r"\bnouvelles? (?:instructions?|consignes?)(?: (?:du |pour )?(?:systeme|l'ia|le modele|l'assistant)) ?:",
    r"\bla (?:bonne|seule) (?:etiquette|categorie|classe|reponse) (?:de|pour) ce (?:document|texte) est\b",
)

_SPANISH_RULES = r"(?:instruccion(?:es)?|indicacion(?:es)?|reglas|ordenes|directrices|prompts?|consignas)\b"
_SPANISH_ORDERS = (
    rf"(?:ignor(?:a|e|ad|en|ar)|olvid(?:a|e|ad|en)|descart(?:a|e)|desobedec(?:e|a)|no (?:sigas|siga|"
    rf"obedezcas|"
    rf"hagas caso (?:a|de))|haz caso omiso (?:de|a)|haga caso omiso (?:de|a)|omit(?:e|a)) {_FEW}"
    rf"{_SPANISH_RULES} {_FEW}(?:anterior|previa|precedente|de arriba|inicial|original|del sistema|que|dada)",
    rf"(?:ignor(?:a|e|ad)|olvid(?:a|e|ad)) {_FEW}(?:todas (?:las|tus|sus)|tus|todas|las anteriores) {_FEW}"
    rf"{_SPANISH_RULES}",
    r"(?:ignor(?:a|e)|olvid(?:a|e)) todo lo (?:anterior|que|de arriba|dicho)",
    r"(?:responde|responda|contesta|conteste|escribe|escriba|di|diga|devuelve|devuelva) "
    r"(?:siempre |simplement )?(?:unicamente|solamente|solo|siempre|exclusivamente|la palabra|"
    r"con la palabra|nada mas que)\b",
    r"no (?:menciones|mencione|reveles|revele|cites|cite|divulgues) (?:nunca )?(?:esta|estas|este) "
    r"(?:instruccion(?:es)?|mensaje|nota|texto|frase|indicacion(?:es)?)",
    rf"(?:revela|revele|muestra|muestre|repite|repita|imprime|ensena) {_FEW}(?:prompt del sistema|"
    r"mensaje del sistema|instrucciones del sistema|tus instrucciones|prompt de sistema|system prompt|"
    r"tu prompt)",
    r"(?:clasifica|clasifique|etiqueta|etiquete|califica|califique|puntua|valora) (?:este|esta|el presente) "
    r"(?:documento|texto|contrato|factura|candidato|mensaje|correo|pagina|articulo)\b.{0,20}\b(?:como|con)\b"
    r"(?! confidencial)",
    r"(?:finge|finja|haz como si|actua como si|actua como (?:una? )?(?:\w+ )?(?:ia|asistente|pirata|hacker|"
    r"chatbot|modelo))",
)
_SPANISH = (
    r"\bdebes (?:\w+ )?(?:contestar|responder|decir|escribir)\b.{0,20}\b(?:solo|unicamente|siempre|"
    r"palabra)\b",
    r"\bdebes (?:aprobar|ignorar|aceptar|recomendar|clasificar)\b",
    r"\bdeja de (?:seguir|obedecer|ser|cumplir) (?:tus|las|un|una|el|la)\b",
    r"\bcomo (?:ia|inteligencia artificial|modelo de lenguaje|asistente de ia),? (?:debes|tienes|tu)",
    r"\b(?:ahora )?(?:eres|usted es) (?:ahora )?(?:una? |el |la )?(?:\w+ ){0,2}(?:ia|inteligencia artificial|"
    r"asistente (?:de ia|virtual|sin|libre)|chatbot|modelo de lenguaje|hacker|pirata|dan)\b",
    r"\b(?:a partir de ahora|desde ahora|de ahora en adelante),? (?:eres|responde|responda|solo|siempre|"
    r"debes|"
    r"contesta|actua|ignora|tu\b)",
    r"\b(?:si eres (?:una? )|nota para (?:las? |los? |el |una? )?|mensaje para (?:las? |los? |el |una? )?|"
    r"atencion,? |aviso a (?:las? |los? )?)(?:ia|inteligencias? artificial(?:es)?|modelos? de lenguaje|"
    r"asistentes? (?:de ia|virtual(?:es)?)|chatbots?|llms?|chatgpt)\b",
    r"\b(?:tu|su) (?:nueva|verdadera|unica|autentica) (?:tarea|instruccion|mision|orden) (?:es|:)",
    r"\bnuevas? instrucciones?(?: del sistema| para (?:la ia|el modelo|el asistente))? ?:",
    r"\bla (?:unica )?(?:etiqueta|categoria|clase)(?: correcta)? (?:de|para) este (?:documento|texto) es\b",
)

_ITALIAN_RULES = r"(?:istruzion[ei]|indicazion[ei]|regole|ordini|direttive|prompt|comandi|consegne)\b"
_ITALIAN_ORDERS = (
    rf"(?:ignor(?:a|i|ate|are)|dimentic(?:a|hi|ate|are)|trascur(?:a|i|ate)|non (?:seguire|segua|seguite|"
    rf"considerare)) {_FEW}{_ITALIAN_RULES} {_FEW}(?:precedent|sopra|iniziali|di sistema|del sistema|"
    rf"original|"
    r"ricevut|che)",
    rf"(?:ignor(?:a|i|ate)|dimentic(?:a|hi|ate)) {_FEW}(?:tutte le|tutti (?:i|gli)|le tue|le precedenti|"
    rf"precedenti) {_FEW}{_ITALIAN_RULES}",
    r"(?:ignora|ignori|ignorate|dimentica|dimentichi) tutto (?:cio|quello|quanto|il precedente)",
    r"(?:rispondi|risponda|rispondete|scrivi|scriva|di'|restituisci|stampa) (?:sempre )?(?:solo|soltanto|"
    r"unicamente|esclusivamente|sempre|la parola|con la parola|nient'altro)\b",
    r"non (?:menzionare|citare|rivelare|nominare|divulgare|menzioni) (?:mai )?(?:quest[aeio]|queste) "
    r"(?:istruzion[ei]|messaggio|nota|testo|frase)",
    rf"(?:rivela|riveli|mostra|mostri|ripeti|stampa) {_FEW}(?:prompt di sistema|messaggio di sistema|"
    r"istruzioni di sistema|le tue istruzioni|tuo prompt|system prompt)",
    r"(?:classifica|classifichi|classificate|etichetta|valuta|categorizza) (?:questo|questa|il presente) "
    r"(?:documento|testo|contratto|fattura|candidato|messaggio|pagina|articolo)\b.{0,20}\b(?:come|con)\b"
    r"(?! riservat)",
    r"(?:fingi|finga|fai finta|comportati come|agisci come) ",
)
_ITALIAN = (
    r"\bdevi (?:\w+ )?(?:rispondere|dire|scrivere)\b.{0,20}\b(?:solo|soltanto|sempre|parola)\b",
    r"\bdevi (?:approvare|ignorare|accettare|raccomandare|classificare)\b",
    r"\bsmetti di (?:seguire|obbedire|essere|rispettare) (?:le|un|una|l'|la|tue)",
    r"\b(?:in quanto|come) (?:ia|intelligenza artificiale|modello linguistico),? (?:devi|tu)",
    r"\b(?:ora )?(?:sei|lei e) (?:ora |adesso )?(?:un[ao']? |il |la )?(?:\w+ ){0,2}(?:ia|intelligenza "
    r"artificiale|assistente (?:ia|virtuale|senza)|chatbot|modello linguistico|hacker|pirata|dan)\b",
    r"\b(?:d'ora in poi|da ora in poi|da adesso),? (?:sei|rispondi|solo|sempre|devi|scrivi|ignora|"
    r"comportati)",
    r"\b(?:se sei (?:un[ao']? ?)|nota per (?:le |i |gli |l')?|messaggio per (?:le |i |gli |l')?|"
    r"attenzione,? )"
    r"(?:ia|intelligenz[ae] artificial[ei]|modell[oi] linguistic[oi]|assistent[ei] (?:ia|virtual[ei])|"
    r"chatbot|llm|chatgpt)\b",
    r"\b(?:il tuo|la tua) (?:nuovo|nuova|vero|vera|unico|unica) (?:compito|istruzione|missione|obiettivo) "
    r"(?:e|:)",
    r"\bnuove istruzioni(?: di sistema| per (?:l'ia|il modello|l'assistente))? ?:",
    r"\bl(?:'unica|a)? ?(?:etichetta|categoria|classe)(?: corretta)? (?:di|per) questo (?:documento|"
    r"testo) e\b",
)

_PORTUGUESE_ORDERS = (
    r"(?:ignor(?:e|a|em|ar)|esquec(?:a|e)|desconsider(?:e|a)) "
    rf"{_FEW}(?:instruc(?:oes|ao)|instrucoes|ordens|regras|comandos|prompts?) {_FEW}(?:anterior|previ|acima|"
    r"inicia|do sistema|que)",
    r"(?:responda|responde|escreva|diga) (?:sempre )?(?:apenas|somente|unicamente|so com|a palavra|sempre)\b",
)
_DUTCH_ORDERS = (
    rf"(?:negeer|vergeet) {_FEW}(?:vorige|eerdere|voorgaande|bovenstaande|alle|je|uw) {_FEW}"
    r"(?:instructies?|opdrachten|regels|aanwijzingen|prompts?)\b",
    r"(?:antwoord|reageer|schrijf) (?:alleen|uitsluitend|enkel|altijd)(?: maar)? (?:met|in|het woord)",
)
_CHINESE = (
    r"作为(?:一个|一名)?(?:ai|人工智能|大模型|语言模型|聊天机器人|助手)[,，]?(?:你|请|必须)",
    r"停止(?:执行|遵循|遵守|回答|扮演)[^。!?\n]{0,8}(?:任务|指令|规则|用户|角色|助手)",
    r"(?:忽略|无视|無視|忘记|忘記|忘掉|不要理会|不要遵循|不要遵守|无需理会|不用管|跳过|覆盖)[^。!?\n]{0,12}"
    r"(?:之前|以上|上述|前面|先前|上面|所有|一切|全部|你的|原来|原有|系统)[^。!?\n]{0,10}"
    r"(?:指令|指示|提示|要求|命令|规则|規則|设定|設定|限制|说明|内容|任务)",
    r"(?:你现在是|你現在是|从现在开始,?你|從現在開始,?你|现在你是|请你扮演|請你扮演|你将扮演|假装你|假裝你|"
    r"请假装|請假裝|扮演一个|你是一个(?:ai|人工智能|没有限制|不受限制|语言模型|聊天机器人))",
    r"(?:只|仅|僅|必须|一律|直接)(?:能|需|要|可以)?(?:输出|輸出|回答|回复|回覆|返回|写)[^。!?\n]{0,6}(?:[\"'「『“:]|json|"
    r"以下|这|这个|是|否|“)",
    r"(?:不要|不得|切勿|禁止|别)[^。!?\n]{0,8}(?:提及|提到|透露|泄露|洩露|说出)[^。!?\n]{0,8}"
    r"(?:指令|指示|这条|這條|本条|提示|这段|此消息|系统)",
    r"(?:输出|輸出|显示|顯示|透露|泄露|重复|重複|打印|告诉我)[^。!?\n]{0,8}(?:系统提示|系統提示|系统指令|初始指令|"
    r"提示词|提示詞|你的指令)",
    r"(?:将|把|請將|请将)(?:本|这份|这个|该|此|這份)(?:文件|文档|文檔|合同|文本|邮件|发票|简历)[^。!?\n]{0,6}"
    r"(?:分类|分類|归类|歸類|标记|標記|评为|评分)(?:为|為|成)?",
    r"(?:如果你是|致|各位|注意[,:]?)(?:一个|所有|任何|阅读本文的)?(?:ai|人工智能|大模型|语言模型|聊天机器人|大语言模型)",
    r"(?:新的?|最新)(?:系统)?(?:指令|指示|任务)(?:是|如下|:)",
    r"你的(?:新|真正|唯一|最新)的?(?:任务|指令|角色|身份)",
)
_OTHER_SCRIPTS = (
    r"(?:以前|これまで|上記|前|すべて|全て)の[^。\n]{0,8}(?:指示|命令|プロンプト|ルール)[^。\n]{0,4}(?:を|は)"
    r"[^。\n]{0,4}(?:無視|忘れ|破棄)",
    r"(?:이전|위의|앞의|모든)[^.\n]{0,8}(?:지시|명령|프롬프트|지침)[^.\n]{0,6}(?:무시|잊)",
    r"(?:игнорируи(?:те)?|игнорируй(?:те)?|забудь(?:те)?|не обращаи(?:те)? внимания на|не следуи(?:те)?) "
    r"(?:\w+ ){0,4}(?:инструкци|указани|команд|правил|промпт)",
    r"\bты (?:теперь|больше не|отныне) (?:\w+ ){0,2}(?:ии|ассистент|бот|помощник|модель|хакер|пират)",
    r"(?:تجاهل|انس|اهمل)[^.\n]{0,12}(?:التعليمات|الاوامر|الأوامر|التوجيهات)",
)

# ---------------------------------------------------------------- what no ordinary text has

_TEMPLATE = (
    r"\[(?:system|assistant)\] ?\(#|\{\{/?(?:system|user|assistant)\}\}",
    r"<\|/?[a-z_]{2,24}(?:\|>|>)",
    r"\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>|\[/?(?:system_prompt|available_tools|tool_calls?)\]",
    r"<\|(?:im_start|im_end|eot_id|endoftext|system|user|assistant)\b",
    r"<(?:/?system(?:_prompt|-prompt)?|/?tool_call|/?function_call|/?assistant)>",
    r"(?:^|\n)\s*#{2,4} ?(?:instruction|system|response|assistant|human|user)s?(?: prompt)? ?:",
    r"(?:^|\n)\s*(?:system|assistant|developer|ai)(?: message| prompt)? ?: ?(?:you (?:are|must|will|should)|"
    r"ignore|disregard|forget|from now|new instructions?|override|respond|reply|answer only|sure|of course|"
    r"output|always|never)",
    r"(?:^|\n)\s*(?:user|human) ?:[^\n]*\n+\s*(?:assistant|ai|bot) ?:",
    r"\{\{? ?(?:system|#system|user_input|prompt) ?\}?\}",
    r"\b(?:ignore|disregard|forget)(?:all)?(?:of)?(?:the|your|my)?(?:previous|prior|above|earlier)"
    r"(?:instructions?|prompts?|rules)\b",
)

_WEAK_ORDERS = (
    r"(?:please )?(?:ignore|disregard|forget|respond|reply|answer|output|say|state|classify|label|rate|"
    r"recommend|approve|accept|summari[sz]e|reveal|act as|pretend|conclude|report|mention|hire|"
    r"(?:do not|don't|never) (?:mention|reveal|report|include|summari[sz]e|extract|flag|disclose|tell|read)|"
    r"you (?:must|should|are|will)|give (?:this|the|a|it)|send|call the|always (?:say|answer|choose))\b",
    r"(?:ignorier\w*|vergiss|antworte\w*|gib|geben sie|bewerte\w*|klassifiziere\w*|erwahne\w*|empfiehl|"
    r"empfehlen sie|du (?:bist|musst|sollst)|schreibe?|sage?)\b",
    r"(?:ignor(?:e|ez|a|i|ate)|oubli(?:e|ez)|repond(?:s|ez)|responde|responda|rispondi|risponda|classe[rz]?|"
    r"clasifica|clasifique|classifica|recommand(?:e|ez)|recomienda|recomiende|raccomanda|tu (?:es|dois)|"
    r"eres|sei|olvida|dimentica|di que|dis que)\b",
)
_WEAK = (r"(?:忽略|无视|回答|回复|输出|推荐|评价|评分|分类|批准|录用|你是|你必须|请将|只需)",)


@cache
def phrases() -> tuple[Phrase, ...]:
    """What counts wherever it stands."""
    orders = (
        *_ENGLISH_ORDERS, *_GERMAN_ORDERS, *_FRENCH_ORDERS, *_SPANISH_ORDERS, *_ITALIAN_ORDERS,
        *_PORTUGUESE_ORDERS, *_DUTCH_ORDERS,
    )  # fmt: skip
    others = (*_ENGLISH, *_GERMAN, *_FRENCH, *_SPANISH, *_ITALIAN, *_CHINESE, *_OTHER_SCRIPTS, *_TEMPLATE)
    return (
        *(Phrase(re.compile(rf"\b(?:{one})"), order=True) for one in orders),
        *(Phrase(re.compile(one), order=False) for one in others),
    )


@cache
def orders_in_hiding() -> tuple[Phrase, ...]:
    """What counts only in text that a reader cannot see: there, any order will do."""
    return (
        *(Phrase(re.compile(rf"\b(?:{one})"), order=True) for one in _WEAK_ORDERS),
        *(Phrase(re.compile(one), order=False) for one in _WEAK),
    )
