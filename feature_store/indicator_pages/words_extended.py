"""The words on the indicators of marts.indicators_extended."""

from __future__ import annotations

from functools import partial

from feature_store.indicator_pages.subject import Subject
from feature_store.views import INDICATORS_EXTENDED

_WINDOW = "None: a window of whole bars, looked at anew at each bar. "
_LOGARITHM = "ln is [a series of our own](../decisions/0115-the-logarithm-is-a-series-of-our-own.md)."
_Subject = partial(Subject, view=INDICATORS_EXTENDED)

SUBJECTS = (
    _Subject(
        name="adx",
        title="ADX, +DI and -DI",
        columns=("adx_14", "plus_di_14", "minus_di_14"),
        says=(
            "+DI and -DI: how much of the movement went up and how much down. ADX: how far the two are apart on average,"
            " the strength of a trend whichever way it goes."
        ),
        formula=(
            "up = H - H[-1], down = L[-1] - L",
            "+DM = up if up > down and up > 0, else 0; -DM = down if down > up and down > 0, else 0",
            "S(x) = S(x)[-1] - S(x)[-1] / 14 + x, of +DM, -DM and the true range TR",
            "+DI = 100 * S(+DM) / S(TR), -DI = 100 * S(-DM) / S(TR)",
            "DX = 100 * |+DI - -DI| / (+DI + -DI)",
            "ADX = (13 * ADX[-1] + DX) / 14",
        ),
        seed=(
            "S begins with the sum of 13 values, of bars 2 to 14; +DI and -DI with bar 15. ADX begins with the mean of 14"
            " DX, of bars 15 to 28. Where no bar had a range yet, +DI and -DI are 0."
        ),
        source="J. W. Wilder, New Concepts in Technical Trading Systems, 1978.",
        judge="TA-Lib ADX, PLUS_DI and MINUS_DI",
        parameters={"n": "14 bars"},
        below=("adx_14", "plus_di_14", "minus_di_14"),
        levels=(25.0,),
    ),
    _Subject(
        name="stochastic",
        title="Stochastic oscillator",
        columns=("stochastic_fast_k_14", "stochastic_k_14", "stochastic_d_14"),
        says="Where the close lies between the lowest low and the highest high of 14 bars, and two means of that.",
        formula=(
            "fast %K = 100 * (C - lowest L of 14) / (highest H of 14 - lowest L of 14)",
            "slow %K = fast %D = mean of three fast %K",
            "slow %D = mean of three slow %K",
        ),
        seed=_WINDOW + "First values at bars 14, 16 and 18. Where highest and lowest are one, fast %K is 0.",
        source="G. C. Lane, Lane's Stochastics, Technical Analysis of Stocks & Commodities, 1984; in use since the 1950s.",
        judge="TA-Lib STOCH(14, 3, 3) and STOCHF(14, 3); TA-Lib shows %K only from where it shows %D",
        parameters={"n": "14 bars", "smoothing": "3 and 3 bars, plain means"},
        below=("stochastic_k_14", "stochastic_d_14"),
        levels=(20.0, 80.0),
    ),
    _Subject(
        name="cci",
        title="Commodity channel index",
        columns=("cci_20",),
        says="How far the typical price is from its mean, in mean absolute deviations; beyond +-100 it is unusual.",
        formula=(
            "T = (H + L + C) / 3",
            "M = mean of 20 T, D = mean of |T - M| over the same 20",
            "CCI = (T - M) / (0.015 * D)",
        ),
        seed=_WINDOW
        + "Null before bar 20. Where 20 typical prices are one but for the last bits of a double, CCI is 0.",
        source="D. R. Lambert, Commodity Channel Index, Commodities, 1980.",
        judge="TA-Lib CCI",
        parameters={"n": "20 bars", "constant": "0.015"},
        below=("cci_20",),
        levels=(-100.0, 100.0),
    ),
    _Subject(
        name="mfi",
        title="Money flow index",
        columns=("mfi_14",),
        says="The share of money that changed hands at rising prices: a relative strength index weighted by volume.",
        formula=(
            "money = T * V, rising if T > T[-1], falling if T < T[-1], neither if they are one to 2 parts in 10^14",
            "MFI = 100 * rising / (rising + falling), sums over 14 bars",
        ),
        seed=_WINDOW + "Null before bar 15. Where no money rose or fell in 14 bars, MFI is 0.",
        source="G. Quong and A. Soudack, Volume-Weighted RSI: Money Flow, Technical Analysis of Stocks & Commodities, 1989.",
        judge="TA-Lib MFI",
        parameters={"n": "14 bars"},
        below=("mfi_14",),
        levels=(20.0, 80.0),
    ),
    _Subject(
        name="vwap",
        title="Volume-weighted average price",
        columns=("vwap_20", "vwap_utc_day", "typical_price"),
        says=(
            "The mean price that was paid, a share counting as a share: over the last 20 bars of any length, and for bars"
            " in minutes or hours also since midnight UTC."
        ),
        formula=("VWAP = sum of T * V / sum of V", "T = (H + L + C) / 3"),
        seed=(
            "vwap_20 is a window, null before bar 20 and where nothing was traded. vwap_utc_day begins anew with the first"
            " bar of each UTC day and is null for bars of a day or longer. It is the session's where a session lies within"
            " one UTC day ([0114](../decisions/0114-vwap-is-rolling-and-since-midnight-utc.md))."
        ),
        source="S. A. Berkowitz, D. E. Logue and E. A. Noser, The Total Cost of Transactions on the NYSE, Journal of Finance, 1988.",
        judge="pandas, rolling and grouped sums",
        parameters={"n": "20 bars", "anchor": "00:00 UTC"},
        over_price=("vwap_20",),
    ),
    _Subject(
        name="williams-r",
        title="Williams %R",
        columns=("williams_r_14",),
        says="How far the close lies below the highest high of 14 bars: 0 at the top of the range, -100 at the bottom.",
        formula=("%R = -100 * (highest H - C) / (highest H - lowest L), of 14 bars",),
        seed=_WINDOW + "Null before bar 14; 0 where highest and lowest are one.",
        source="L. R. Williams, How I Made One Million Dollars Last Year Trading Commodities, 1973.",
        judge="TA-Lib WILLR",
        parameters={"n": "14 bars"},
        below=("williams_r_14",),
        levels=(-80.0, -20.0),
    ),
    _Subject(
        name="roc",
        title="Rate of change",
        columns=("roc_10",),
        says="The change of the close over 10 bars, in percent.",
        formula=("ROC = 100 * (C / C[-10] - 1)",),
        seed="None: null before bar 11.",
        source="Older than its literature; described in M. J. Pring, Technical Analysis Explained, 1980.",
        judge="TA-Lib ROC",
        parameters={"n": "10 bars"},
        below=("roc_10",),
        levels=(0.0,),
    ),
    _Subject(
        name="donchian",
        title="Donchian channel",
        columns=("donchian_upper_20", "donchian_middle_20", "donchian_lower_20"),
        says="The highest high and the lowest low of 20 bars, this one among them, and the middle between them.",
        formula=("upper = highest H of 20, lower = lowest L of 20", "middle = (upper + lower) / 2"),
        seed=_WINDOW + "Null before bar 20.",
        source="R. D. Donchian, High Finance in Copper, Financial Analysts Journal, 1960 (his rule of four weeks).",
        judge="TA-Lib MAX and MIN",
        parameters={"n": "20 bars"},
        over_price=("donchian_upper_20", "donchian_middle_20", "donchian_lower_20"),
    ),
    _Subject(
        name="keltner",
        title="Keltner channel",
        columns=("keltner_upper_20", "keltner_middle_20", "keltner_lower_20"),
        says="An exponential mean with two average true ranges to each side. The form in use today, with ranges by Wilder.",
        formula=("middle = EMA(20) of C", "upper, lower = middle +- 2 * ATR(10)"),
        seed="EMA: the plain mean of 20 closes, at bar 20. ATR: the plain mean of 10 true ranges, at bar 11. Null before bar 20.",
        source="C. W. Keltner, How to Make Money in Commodities, 1960; in this form L. B. Raschke, 1980s.",
        judge="TA-Lib EMA and ATR",
        parameters={"n": "20 bars", "range": "ATR of 10 bars, twice"},
        over_price=("keltner_upper_20", "keltner_middle_20", "keltner_lower_20"),
    ),
    _Subject(
        name="aroon",
        title="Aroon",
        columns=("aroon_up_25", "aroon_down_25", "aroon_oscillator_25"),
        says="How long ago the highest high and the lowest low of the last 26 bars were: 100 is now, 0 is 25 bars ago.",
        formula=(
            "up = 100 * (25 - bars since the highest H) / 25, down alike of the lowest L",
            "oscillator = up - down",
        ),
        seed=_WINDOW + "Null before bar 26. Of equal extremes the newest counts.",
        source="T. S. Chande, A Time Price Oscillator, Technical Analysis of Stocks & Commodities, 1995.",
        judge="TA-Lib AROON and AROONOSC",
        parameters={"n": "25 bars"},
        below=("aroon_up_25", "aroon_down_25"),
    ),
    _Subject(
        name="trix",
        title="TRIX",
        columns=("trix_15",),
        says="The change over one bar of a mean of a mean of a mean: a trend without its short swings, in percent.",
        formula=("E1 = EMA(15) of C, E2 = EMA(15) of E1, E3 = EMA(15) of E2", "TRIX = 100 * (E3 / E3[-1] - 1)"),
        seed=(
            "Each EMA begins with the plain mean of its first 15 values: at bars 15, 29 and 43. The first change comes with"
            " bar 44."
        ),
        source="J. K. Hutson, Good TRIX, Technical Analysis of Stocks & Commodities, 1983.",
        judge="TA-Lib TRIX",
        parameters={"n": "15 bars"},
        below=("trix_15",),
        levels=(0.0,),
    ),
    _Subject(
        name="parabolic-sar",
        title="Parabolic SAR",
        columns=("parabolic_sar",),
        says="A stop that follows the price ever faster and changes sides where it is met.",
        formula=(
            "SAR = SAR[-1] + AF * (EP - SAR[-1]), never inside the last two bars' range",
            "EP: the most extreme price since the side was taken; AF: 0.02, 0.02 more at each new EP, at most 0.2",
            "met by the price: the other side is taken, SAR = EP, AF = 0.02",
        ),
        seed=(
            "The side at bar 2: short if the low fell by more than the high rose, else long. SAR begins with the low (long) or"
            " the high (short) of bar 1. Null at bar 1."
        ),
        source="J. W. Wilder, New Concepts in Technical Trading Systems, 1978.",
        judge="TA-Lib SAR",
        parameters={"acceleration": "0.02 up to 0.2"},
        over_price=("parabolic_sar",),
    ),
    _Subject(
        name="parkinson",
        title="Parkinson volatility",
        columns=("parkinson_volatility_20", "parkinson_variance_1"),
        says=(
            "Realised volatility from highs and lows: five times as exact as from closes, if the price wanders without a"
            " trend and trading never stops. Per bar, not annualised; gaps between bars are not in it."
        ),
        formula=(
            "variance of a bar = ln(H / L)^2 / (4 ln 2)",
            "volatility = root of the mean variance of 20 bars",
        ),
        seed=_WINDOW + "The variance from bar 1 on, the volatility null before bar 20. " + _LOGARITHM,
        source="M. Parkinson, The Extreme Value Method for Estimating the Variance of the Rate of Return, Journal of Business, 1980.",
        judge="numpy and pandas",
        parameters={"n": "20 bars"},
        below=("parkinson_volatility_20",),
    ),
    _Subject(
        name="garman-klass",
        title="Garman-Klass volatility",
        columns=("garman_klass_volatility_20", "garman_klass_variance_1"),
        says="Realised volatility from all four prices of a bar: more exact still, under the same conditions.",
        formula=(
            "variance of a bar = ln(H / L)^2 / 2 - (2 ln 2 - 1) * ln(C / O)^2",
            "volatility = root of the mean variance of 20 bars",
        ),
        seed=_WINDOW + "The variance from bar 1 on, the volatility null before bar 20. " + _LOGARITHM,
        source="M. Garman and M. Klass, On the Estimation of Security Price Volatilities from Historical Data, Journal of Business, 1980.",
        judge="numpy and pandas",
        parameters={"n": "20 bars"},
        below=("garman_klass_volatility_20",),
    ),
)
