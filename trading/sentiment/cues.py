"""The words by which company news says better, worse or neither.

Word lists only, by stem, written for this project from how results are worded; how they are read is in features.py.
No published lexicon was copied. The lists carry no weights: the head learns what each group is worth. A change here
changes the head's input, so FEATURES_VERSION in features.py must move with it.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Stems:
    """A group of words: whole words, and beginnings that stand for every word that starts with them."""

    whole: frozenset[str]
    beginnings: tuple[str, ...]

    @classmethod
    def of(cls, words: str) -> "Stems":
        """Read a list in which "=up" asks for the whole word and "increas" for any word that begins so."""
        items = words.split()
        return cls(
            frozenset(item[1:] for item in items if item.startswith("=")),
            tuple(item for item in items if not item.startswith("=")),
        )

    def __contains__(self, word: str) -> bool:
        return word in self.whole or word.startswith(self.beginnings)


UP: Final = Stems.of(
    "=up =rise =rises =rose =risen rising increas =grow =grows =grew =grown growing growth climb jump soar =gain "
    "=gains gained gaining =higher =advance =advances advancing doubl tripl quadrupl =raise =raised =raises raising "
    "=lift =lifted =lifts lifting boost widen =wider =swell =swelled =swollen swelling =hike =hikes =hiked =pick "
    "=picking =spike =spikes =spiked skyrocket =leap =leaps =leapt =leaped exceed =mount =mounts =mounted multiplied "
    "=upward =upwards deepen =above =twice twofold threefold =upped =ups =outgrew =surge =surged =surges surging"
)
DOWN: Final = Stems.of(
    "=down =fall =falls =fell =fallen falling decreas declin =drop =drops =dropped dropping =slip =slips =slipped "
    "=slide =slides =slid =sliding plung slump tumbl =sink =sinks =sank =sunk sinking shrink =shrank =shrunk "
    "=contraction =lower lowered lowering =lowers =cut =cuts cutting =reduce reduced reduces reducing reduction "
    "=narrow =narrowed =narrows narrowing halv =slow =slows =slowed slowing slowdown dwindl crash =dip =dips =dipped "
    "=ease =eased =eases easing =trim =trims trimmed slash =lose =loses =lost losing diminish erod =fewer plummet "
    "=shed =sheds sagg =fade =faded =downward =downwards smaller =retreated =below =undershot"
)
GOOD_MEASURE: Final = Stems.of(
    "sales turnover revenue profit earning income ebit margin eps =order orders backlog demand volume export deliver "
    "shipment output production customer passenger subscriber dividend =market =share =shares =stock =stocks =price "
    "=prices =target result equity =cash growth index traffic utilisation utilization occupanc capacity confidence "
    "gdp economy spending =rating outlook forecast guidance estimate return productivity booking value =load hiring "
    "employ payroll personnel staff workforce =jobs recommendation efficien quality position competitive business "
    "housing exchange visitor shopper =sold registration =fee =fees"
)
BAD_MEASURE: Final = Stems.of(
    "=loss losses cost expens debt unemploy jobless bankruptc liabilit inventor overdue impairment default =claims "
    "=fuel inflation delay churn complaint defect deficit accident overcapacit emission consumption redundanc risk "
    "markdown waste uncertaint arrear <rawcost> <rate> <combinedratio> injur"
)
PROFIT_WORD: Final = Stems.of("profit =gain earned =earnings income surplus <black> =positive")
LOSS_WORD: Final = Stems.of("=loss losses deficit =minus =negative <red>")
GOOD_EVENT: Final = Stems.of(
    "=win =wins =won winning award =lands =landed clinch =secured =secures =selected =selects =chosen =chose "
    "=chooses =picks =picked =record =records =best best- =strong strongly =strength profitab beat =topped =tops "
    "=topping outperform overweight benefit efficien saving breakthrough favour favor upbeat optimis bullish brisk "
    "robust solid outstand excellent =good =well =positive positively =confident synerg enabl faster easier cheaper "
    "reliable popular oversubscrib enthusias welcom =hire =hires recruit opportunit =exclusive =preferred surpass "
    "=satisfied =pleased =thanks =helped =lively outpac =upside undervalued rewarded prize innovat milestone "
    "=accumulate =buyback prevail =huge smash offsetting cheer =highest all-time flying attract =great =easy "
    "=quickly =bright foothold certified <good> improv strengthen stronger recover rebound upgrad =rally rallie "
    "upturn =better expand expansion brighten enhanc optimiz streamlin advantage progress pioneer superior lucrative "
    "ideal =sharper =sharpened =safer smooth upswing uptick reviv thriv flourish buoyan =buoyed healthy vigorous "
    "dynamic impressive remarkabl promising windfall landmark cost-effective energy-efficient user-friendly "
    "state-of-the-art cutting-edge world-class fast-growing surplus outstrip blowout =supports =supported "
    "=modernised =quicker healthier accelerat =kinder =valued =praise =praised =success =successes =successful "
    "=successfully =boom booming"
)
BAD_EVENT: Final = Stems.of(
    "weak poor layoff lay-off redundan dismiss =axe =axes =axed closure shut bankrupt insolv default lawsuit =sue "
    "=sued =sues suing =fine =fined =fines penalt =probe =probes fraud bribe scandal recall delay postpon cancel "
    "terminat suspend =strike =strikes warn disappoint =miss =misses =missed underperform underweight impair "
    "write-down write-off writedown written-off difficult problem troubl crisis recession shortage overcapacit "
    "uncertain pressur =hurt hurts hurting =hit =hits burden junk =fail =fails =failed failing failure breach accus "
    "charged guilty illegal raid investigat sluggish unprofit loss-making halt idle =fire breakdown fault defect "
    "contaminat unsatisf bearish overvalued overpriced sell-off fear worr threat damage reject withdraw scrap "
    "=negative =bad =worst drag squeez bleak gloom dark tough fierce =oust =ousted =quit =quits resign lowest unable "
    "=lack spook rattle disrupt stoppage undercut outage indict liable complain unreliable curtail =bans blocks "
    "cripple =doubt =stopped =pain =attack refus suffer standstill downtime shortcoming =empty expensive =hard curb "
    "undeclared pollut disappear escalat costly mistake <bad> deteriorat worsen =worse downgrad downturn collaps "
    "adverse =bust killed =death unclear =storm flood drought turmoil turbulen headwind stagnat =stall =stalled "
    "=stalls bottleneck backlash boycott protest sanction embargo glut oversuppl underutili struggl plague falter "
    "=lag =lags =lagged lagging vulnerab toxic downsiz eliminat abandon mislead irregularit misconduct corrupt "
    "embezz evasion cartel violat infring unlawful dissatisf criticis criticiz unhappy pessimis depress softer "
    "softness hamper hinder imped obstacle unfavourable unfavorable =sour soured jeopard =dilute =dilutes =dilution "
    "=dumps =dumped"
)
# Troubles that an end, a dismissal or a withdrawal turns into good news, and the words that do so.
TROUBLE: Final = Stems.of(
    "lawsuit =suit =suits =probe investigat =charges claim dispute =strike lay-off layoff redundan =fine penalt "
    "verdict <classaction> hurdle uncertaint"
)
RELIEF: Final = Stems.of(
    "dismisse =dismiss =drop =drops dropped =ends =ended =ending =end cleared clears avoid overturn withdrawn "
    "=withdraws =tosses =tossed <throwout> lifting removing removed without settles"
)
DEAL_NOUN: Final = Stems.of("=order =orders contract agreement =deal partnership cooperation pact =customer alliance")
DEAL_VERB: Final = Stems.of(
    "sign =gets =got receiv =ordered extend =extension renew obtain deliver suppl provid =inks =agreed =agrees "
    "=awarded =placed =booked =become =becomes equip =granted conclud"
)
PLAIN_FACT: Final = Stems.of(
    "appoint elect =board =agm headquart =founded =located =based office subsidiar shareholder =votes voting regist "
    "disclos publish unchanged =flat maintain reiterat repeats =scheduled =held stable =owner owns =owned holds "
    "consist compris includ =made =makes =make =name =names named =called manufactur =according =terms transfer "
    "=listed listing subscri option warrant meeting annual neutral =hold steady announce present hearing stake "
    "holding acquir purchase employs =square =metres =designed available <plain> cover concern =leading approv"
)
# Words of a notice of holdings: a smaller share of the votes is neither good nor bad news.
OWNERSHIP: Final = frozenset({"stake", "votes", "voting", "shareholding", "holding", "<capital>"})
NEGATION: Final = frozenset(
    {"not", "no", "never", "neither", "nor", "cannot", "failed", "fails", "unable", "hardly"}
    | {"didn't", "doesn't", "don't", "isn't", "wasn't", "won't"}
)
CONCESSION: Final = frozenset(["despite", "although", "though", "notwithstanding"])
CLAUSE_END: Final = frozenset([",", ";", ":", ".", "but", "while", "whereas", "and"])
COMPARED: Final = frozenset(["against", "versus", "vs", "compared", "comparison", "whereas", "than"])

# Set phrases that would be misread word by word, and the one word each stands for.
PHRASES: Final = {
    r"(?:profit|result|earnings|income) (?:before|after) (?:tax(?:es|ation)?|interest)": "profit",
    r"loss (?:before|after) (?:tax(?:es|ation)?|interest)": "loss",
    r"(?:loan|credit) loss(?:es)?": "costs",
    r"earnings per share": "earnings",
    r"loss per share": "loss",
    r"(?:interest|mortgage|lending) rates?": "<rate>",
    r"while (?:it|they) (?:was|were)": "whereas",
    r"more than(?= \d| half| one| two| a hundred| a dozen)|one of the (?:biggest|largest|leading)": "<plain>",
    r"subject to (?:\S+ )?approval|requires? (?:the )?approval|selected (?:customers|markets|users)": "<plain>",
    r"(?:to|will) (?:supply|deliver|provide|equip|install)|main contractor|sole supplier": "<supplies>",
    r"(?:only|less than) half|(?:was|were|been) given notice|trade war|in doubt": "<bad>",
    r"combined ratio": "<combinedratio>",
    r"fine papers?|in charge|record date|great britain|in advance|in order to": "<plain>",
    r"heat recovery|recovery boilers?": "<plain>",
    r"as a result(?: of)?|results? (?:in|from)|growth (?:strategy|company|companies)|lifts and escalators": "<plain>",
    r"impairment test\w*|lower (?:house|court)|follow-up|up-to-date|coming up|sums? up|summed up": "<plain>",
    r"(?:fda|eu|regulators?|commission) (?:\S+ )?approv\w+|wins? (?:\S+ )?approval|recommends? approval": "<good>",
    r"(?:adds|added|adding|advanced)(?= \d)|advanced (?:to|by)": "up",
    r"more than(?= in | a year| last| the | during| twice| doubl)|more(?= customers| orders| passengers)": "up",
    r"less than(?= in | a year| last| the | during)|contracted (?:to|by|\d)": "down",
    r"(?:months|weeks|running) late|less (?:profitable|attractive|competitive)|profit warning": "<bad>",
    r"(?:rais|increas|cut|reduc|lower|decreas|upp)\w* (?:its|their) (?:\S+ )?(?:stake|(?:share)?holding)": "<plain>",
    r"no dividend|off (?:its|the) shelves|come to nothing|out of work|g(?:et|ets|ot) rid of": "<bad>",
    r"too (?:high|low|late|expensive|slow|small)|give notice|goes? bust": "<bad>",
    r"(?:gave|gives?|giving|given) up|stay(?:s|ed|ing)? away|out of hand|dr(?:ies|ied|y) up|below plan": "<bad>",
    r"environmentally friendly|sold out|fully booked|speeds? up|ramp(?:s|ed|ing)? up|new customers": "<good>",
    r"number of votes|stock exchange release": "<capital>",
    r"profit and loss account|profit[- ]sharing": "<plain>",
    r"per share|a share|share of|share issues?|rights issues?|market value|book value": "<plain>",
    r"(?:raw[- ]materials?|wood|fuel|energy|oil|feedstock|pulp|power) (?:prices?|costs?|bills?)": "<rawcost>",
    r"number of (?:the )?(?:\S+ )?shares|share capital|shares? (?:and|or) votes?|voting rights": "<capital>",
    r"set up|made up|makes? up|up to|set-up|more information|no later than|at least|(?:two|one|three) more": "<plain>",
    r"takes? up|taken up|takes? over|taken over|took over|follow(?:ed|s)? up|break down|more than one": "<plain>",
    r"in line with|little changed|on a par with|the same level|last year's level|good governance|as well as": "<plain>",
    r"letters? of intent|due diligence|forward-looking|research and development|strike price": "<plain>",
    r"risk management|cost centre|close to|closing date|well[- ]known|fire safety|share subscription": "<plain>",
    r"no longer (?:expects?|believes?|sees?)|wind up|wound up|runs? out|running out|ran out|written off": "<bad>",
    r"fell through|falls? through|called off|calls? off|pulls? out|walked? away|out of reach|capital loss": "<bad>",
    r"(?:falls?|fell|falling|came in|comes? in) short of|short of": "<bad>",
    r"(?:sees?|guides?|was|were|came in) (?:\S+ )?(?:\S+ )?below": "<bad>",
    r"below (?:expectations?|consensus|estimates?|forecasts?|the level)|did not reach|not be reached": "<bad>",
    r"la(?:y|ys|id|ying) off|temporary lay-?offs?|job cuts?|job losses|profit warnings?|for good": "<bad>",
    r"weigh(?:s|ed|ing)? (?:heavily )?on|lost market share": "<bad>",
    r"(?:guides?|sees?) (?:\S+ )?(?:\S+ )?above|capital gains?|swings? to (?:a )?(?:net )?profit": "<good>",
    r"above (?:\S+ )?(?:expectations?|consensus|estimates?|forecasts?|the level)|above last year": "<good>",
    r"(?:than|sooner than) feared|contrary to fears|paid off|pays off": "<good>",
    r"breaks? even|ahead of (?:schedule|plan)": "<good>",
    r"than expected|than anticipated|than forecast": "<thanexpected>",
    r"smaller loss|back in profit|back to profit|return(?:ed|s)? to profit|turn(?:ed|s)? a profit": "<good>",
    r"positive profit warning|buy (?:rating|recommendation)|(?:to|at|with) buy(?= from|,| ?\.|$)": "<good>",
    r"to (?:conviction )?buy list|record (?:quarter|sales|profit|year|number|high|result|revenue)": "<good>",
    r"sell (?:rating|recommendation)|(?:to|at) sell(?= from|,| ?\.|$)|from (?:its )?(?:\S+ )?buy list": "<bad>",
    r"(?:into|in) the red": "<red>",
    r"(?:into|in|to) the black": "<black>",
    r"class action": "<classaction>",
    r"throws? out|thrown out|threw out": "<throwout>",
}
