"""The words that join others, by language: they tell a language, and say nothing about what is looked for.

Short lists on purpose: whatever may be what a person looks for is not in them.
"""

_LISTS = {
    "en": """a about after all also am an and any are as at be because been before being between both but
        by can could did do does doing each either for from had has have having he her here hers him his how i
        if in into is it its itself me more most my no nor not of on only or other our out over own shall
        she should so some such than that the their them then there these they this those through to under
        until up upon was we were what when where whether which while who whom whose why will with would
        you your""",
    "de": """aber als am an auch auf aus bei bin bis bist da damit das dass daß dem den denn der des dessen
        die dies diese diesem diesen dieser dieses doch dort du durch ein eine einem einen einer eines er es
        euch für gegen hat hatte hatten haben habe hier ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in
        ist ja jede jedem jeden jeder jedes kann kein keine können man mehr mein mit nach nicht noch nur ob
        oder ohne sehr sein seine seinem seinen seiner seit sich sie sind so sowie über um und uns unser
        unter vom von vor war waren warum was weil welche welchem welchen welcher welches wenn wer werden
        wem wen wessen wie wieviel viele wird wir wo wurde wurden zu zum zur zwischen""",
    "fr": """à afin ainsi après au aucun aussi autre aux avait avant avec avoir ce ceci cela celle celles
        celui ces cet cette ceux chez comme comment combien dans de depuis des donc dont du elle elles en
        entre est et étaient était été être eux eut il ils je la le les leur leurs lors lorsque lui mais me
        même mes moins mon ne ni nos notre nous on ont ou où par pas pendant plus pour pourquoi qu quand que
        quel quelle quelles quels qui quoi sa sans se selon ses si son sont sous sur ta tandis te tes ton tous
        tout toute toutes très tu un une vers vos votre vous y""",
    "es": """a al algo algunos ante antes así aún cada como cómo con contra cual cuál cuales cuáles cuando
        cuándo cuánto cuánta cuántos cuántas de del desde donde dónde durante e el él ella ellas ellos en
        entre era eran es esa esas ese eso esos esta está estaba están estas este esto estos fue fueron ha
        había habían han hasta hay la las le les lo los más me mi mientras muy ni no nos nosotros o otra otras
        otro otros para pero por porque que qué quién quien quiénes se según ser si sí sin sobre son su sus
        también tan te tiene tienen tu un una uno unos y ya""",
    "it": """a ad agli ai al alla alle allo anche ancora c che chi ci cio ciò come con contro cosa cui d da
        dagli dai dal dalla dalle dallo degli dei del dell della delle dello di dopo dove e è ed era erano
        essere fra gli ha hanno ho i il in io l la le lei li lo loro lui ma mentre mi mia mio ne nè né negli
        nei nel nella nelle nello noi non nostro o ogni per perché più poi prima quale quali quando quanti
        quanto quella quelle quelli quello questa queste questi questo se sei senza si sia siamo sono stata
        stato su sua sue sugli sui sul sulla sulle suo tra tu tutti tutto un una uno""",
    "pt": """a à ao aos às as até com como da das de dela dele deles depois do dos e é ela elas ele eles em
        entre era eram essa esse esta está estão este estes eu foi foram há isso isto já lhe mais mas me mesmo
        meu minha muito na não nas nem no nos nós nossa nosso num numa o onde os ou para pela pelas pelo pelos
        por porque qual quais quando quanto quantos quantas que quê quem são se sem ser seu seus sua suas
        também te tem têm tinha um uma umas uns você""",
    "nl": """aan aangezien al alle als altijd andere ben bij daar dan dat de deze die dit doch doen door dus
        een eens en er ge geen haar had hadden heb hebben heeft hem het hier hij hoe hoeveel hun ik in is ja
        je kan kunnen maar me meer men met mij mijn moet na naar niet nog nu of om omdat ondanks ons ook op
        over te tegen toch toen tot tussen u uit uw van veel voor waar waarom wanneer waren was wat we wel
        welk welke werd werden wie wij wordt worden zal ze zich zij zijn zo zonder zou""",
    "sv": """alla allt än är att av blev bli blir då de dem den denna deras dess det detta dig din dina du
        där efter ej eller en er era ett från för ha hade han hans har henne hennes hon honom hur här i icke
        inte jag ju kan kunde man med mellan men mig min mina mot mycket ni nu när någon något några och om
        oss på samma sedan sig sin sina sitt själv ska skulle som så sådan till under upp ut utan vad var
        vara varför varit varje vars vart vem vi vid vilka vilken vilket vår våra över""",
    "da": """af alle alt anden at blev blive bliver da de dem den denne der deres det dette dig din disse dog
        du efter eller en end er et for fordi fra før ham han hans har have havde hende hendes her hos hun
        hvad hvem hver hvilke hvilken hvilket hvis hvor hvordan hvorfor hvornår i ikke ind jeg kan kunne man
        mange med meget mellem men mig min mod ned noget nogle nu når og også om op os over på selv sig sin
        skal skulle som sådan thi til ud uden under var ved vi vil ville vor være været""",
    "no": """alle at av bare begge ble bli blir da de dem den denne der deres det dette deg din disse du
        eller en enn er et ett etter for fordi fra før ha hadde han hans har henne hennes her hos hun hva
        hvem hver hvilke hvilken hvilket hvis hvor hvordan hvorfor i ikke inn jeg kan kunne man mange med
        meg mellom men min mot mye ned noe noen nå når og også om opp oss over på seg selv sin skal skulle
        som så sånn til ut uten under var ved vi vil ville vår være vært""",
    "fi": """että ei eivät en hän häneen hänen he heidän ja jo joka joiden joita joka jolla jonka jos josta
        jotka jotta kanssa kuin kuinka kuka kun me mihin mikä miksi milloin minkä minä missä mistä mitä mitkä
        mukaan mutta myös ne niiden niin nämä näiden ole oli olivat olla on ovat se sekä sen siihen siinä
        sillä sitä tai tämä tämän tässä tätä tuo vaan vai vain voi""",
    "pl": """a aby ale albo bez bo by być był była było były ci co czy dla do gdy gdzie go i ich ile ilu im
        innych jak jaka jaki jakie jako je jego jej jest jeszcze jeśli już kiedy kto która które którego
        której który których którym którzy lub ma mają może na nad nie nim niż o od oraz po pod przed przez
        przy są się ta tak także te tego tej ten też to tu tych tylko tym w we więc wszystkie z za ze został
        została zostały że""",
    "cs": """a aby ale ani až bez bude budou by byl byla byli bylo být co což do i jak jaká jaké jaký jako je
        jeho její jejich jen ještě již jsem jsme jsou k kde kdo kdy kolik která které kterého který kterou
        kteří ma má mezi na nad nebo není než o od pak po pod podle pokud pro proč proto před při s se si své
        ta tak také tato tedy ten tento to toho tohoto tom tomto u v ve však z za ze že""",
    "ro": """a acea aceasta această aceste acest acesta acestea al ale alte are as au avea ca că când care
        cât câte câți ce cea cei cel cele cine cu cum da dacă dar de deci despre din după ea ei el ele este
        eu fi fie fiind fost în între îi își la le lor lui mai mult nu o or ori pe pentru prin sa să sau se
        sunt și spre sub su toate un unde unei unor unui""",
    "hu": """a az aki akik amely amelyek ami azt azok be csak de egy egyik el és ez ezek ezt fel hány ha hogy
        hogyan hol holi is ki kik közül között le lehet lesz már meg mely melyik melyek mert mi mikor milyen
        mint minden mit miért nem nagyon ne néhány ő ők össze olyan pedig s sem szerint több úgy után vagy
        vagyok van vannak volt voltak""",
    "tr": """ama ancak aynı bazı bir biri bu bunu bunun çok çünkü da daha de değil diye dolayı en gibi göre
        hangi hem her hiç için ile ise kaç kadar ki kim kimin mı mi mu mü nasıl ne neden nerede niçin o olan
        olarak oldu olduğu olduğunu olması on ona onu onun oysa sadece sonra şey şu tarafından ve veya ya
        yani zaman""",
    "id": """ada adalah agar akan antara apa apakah atau bagaimana bagi bahwa banyak beberapa belum berapa
        bisa dalam dan dapat dari dengan di dia harus hingga ia ini itu jika juga kami kapan karena ke kepada
        ketika lain lebih maka mana mengapa mereka namun oleh pada para saat saja sampai sangat sebagai
        sebuah secara sedangkan seperti serta setelah siapa suatu sudah telah tersebut tidak untuk yaitu
        yang""",
    "vi": """ai bao bằng bị các cái cho chỉ có của cũng đã đang để đến đó được gì giữa hay hoặc khi không là
        lại làm lên mà mỗi một này nào nên nếu ngày như những ở phải qua rằng ra rất sau sẽ sự tại theo thì
        tới trên trong trước từ và vào vẫn về vì với vừa""",
    "ru": """а без более бы был была были было быть в вам вас во вот все всё всех вы где да для до его ее её
        если есть еще ещё же за здесь и из или им их к как какая какие каким каких какого какое какой какую
        когда кого кому кто ли либо между меня мне мы на над нас не него нее ней нет ни них но о об однако он
        она они оно от по под после при про с сколько со так также там то того тоже только том ты у уже хотя
        чего чей чем что чтобы чём эта эти этих это этого этой этом этот я""",
    "uk": """а або без був була були було бути в вам вас ви від він вона вони воно всі все де для до є за з
        зі і із її їх його й коли кого хто як яка яке який які яких якого якої якщо між мене ми на над нас не
        нею них ні но о об однак по під після при про скільки та так також там те ти то того тому тільки у
        це цей ця ці цього цієї чи чому що щоб ще я""",
    "bg": """а ако ала без беше би в вас ви все във да дали до за защо и или им има их как каква какво какви
        какъв като кога когато което които който коя кои кой колко към къде ли между ме ми много на над не
        него ни ние но някои о от пред през при с са само се си след сме със също съм така те тези това тази
        този той тя ще я""",
    "sr": """a ali bez bi bila bile bili bilo bio biti da do ga gde gdje i ili iz iza jer je jedan jedna još
        kada kako kao ko koja koje koji kojih kojim koju koliko li među na nad nakon ne nego nije nisu njegov
        o od ono oni ova ovaj ove ovo po pod pre pri sa samo se smo što su svi ta taj te to tu u uz već za
        zašto а али без би била били било био да до где и или из јер је још када како као која које који
        којих којим коју колико ли међу на над након не него није нису о од ова овај ове ово по под пре при
        са само се што су те то у уз већ за зашто""",
    "ar": """أن إن إلى التي الذي الذين أو أي أيضا أين إذا بعد بين تلك ثم حتى حول حيث خلال ذلك سوف على عن عند
        عندما غير في فيه فيها قبل قد كان كانت كل كم كما كيف لا لقد لكن لم لماذا له لها لهم ليس ما ماذا متى
        مثل مع من منذ منها منه نحو هذا هذه هل هم هناك هو هي هؤلاء و وقد وكان ولا ولم وما ومن وهو وهي يكون
        تم""",
    "fa": """از است اما آن آنها او ای این با باید بر برای بود بودند به بین پس تا چرا چه چند چگونه چی خود
        در دارد دارند را شد شده شود که کجا کدام کرد کرده کنند کند کی ما من می نمی نیز نیست ها های هر هم همه
        همین و ولی یا یک""",
    "ur": """اس اسے ان اور ایک بھی پر تک تھا تھی تھے تو جب جس جو جیسے سب سے کا کب کر کرنے کس کو کون کہ کہاں
        کی کیا کیسے کے گیا لیے میں نہیں نے وہ ہو ہوا ہوتا ہے ہیں یا یہ""",
    "hi": """अगर अन्य अपने आप आदि इन इस इसका इसके इसमें उन उनके उस उसके एक एवं और कई कब कर करने कहाँ का कि
        किन किस किसी किसने की कुछ के को कोई कौन कौनसा क्या क्यों कितना कितने कैसे गया जब जहाँ जाता जिस जिसे
        जैसे जो तक तथा तो था थी थे द्वारा दिया ने नहीं पर भी में यदि यह यहाँ या ये रहा रहे लिए वह वाले वे
        सकता सभी साथ से ही हुआ हुई हुए है हैं हो होता""",
    "el": """αλλά αν από αυτά αυτές αυτή αυτό αυτοί αυτός αυτών για γιατί δε δεν εάν εδώ είναι είχε εκεί
        ένα έναν ένας επίσης έχει έχουν ή η ήταν θα και κάθε κατά κι μας με μέσα μετά μη μια μία μόνο να ο οι
        όμως όπου όπως όταν ότι πιο ποια ποιες ποιο ποιοι ποιος ποιων πόσα πόσο πόσοι που πού πριν προς πως
        πώς σας σε στα στη στην στις στο στον στους στων συν τα τη την της τι τις το τον του τους των ως""",
    "he": """אבל או אולי אותה אותו אותם אחרי איך איפה אין אל אם אנחנו אני אשר את אתה בין גם הוא היא היה היו
        היתה הם הן הזה הזאת זה זאת זו יש כאשר כדי כי כל כמה כמו לא לאחר לו לה להם למה לפני מאוד מדוע מה מי
        מן מתי על עד עוד עם רק של שלו שלה שלהם""",
}

FUNCTION_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split()) for language, words in _LISTS.items()
}
"""ISO 639-1 code → words in lower case."""
