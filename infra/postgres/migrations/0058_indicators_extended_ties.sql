-- The second view of indicators as TA-Lib 0.8.1 has it: what is equal but for the last bits of a double counts as equal,
-- and no sum is called zero for being small (docs/decisions/0141). Beside indicator_extended_v1, which computes as it did.

-- One bar further. As indicator_extended_step_v1 (0046), but:
-- MFI: a typical price within 2e-14 of the one before it is a tie, neither rising nor falling; MFI is 0 only where no money
-- rose or fell, however small the sums.
-- CCI: 0 where the mean deviation, or the newest price's, is within 1e-14 of the mean.
-- Stochastic and Williams %R: 0 where highest and lowest are within 2e-14.
-- +DI, -DI and ADX: of ranges that are not 0, however small. A sum below 1e-200 is 0: a product of doubles that is no
-- number more is an error in PostgreSQL, and a price that stood for 10,000 bars came there.
--
-- at_time and max_gap are seconds. Of a context bar nothing is computed: it is only remembered.
--
-- What it gives has three parts. [1..24] is the state that a row keeps: [1] bars so far, [2] time, [3] +DM, [4] -DM and
-- [5] true range (Wilder's sums, 14), [6] ADX, [7] fast %K and [8] the one before, [9] slow %K and [10] the one before,
-- [11] slow %D, [12] EMA 20, [13] ATR 10, [14..16] the three EMAs of TRIX, [17] TRIX, [18] parabolic SAR and [19] the next
-- bar's, [20] extreme point, [21] acceleration, [22] 1 if long, [23] money and [24] shares since midnight UTC.
-- [25..36] are windows at this bar: [25] Williams %R, [26] highest and [27] lowest of 20, [28] Aroon up and [29] down,
-- [30] CCI, [31] MFI, [32] money and [33] shares of 20, [34] and [35] the variances of 20, [36] rate of change.
-- [37..179] are the last bars, oldest first: 26 highs, 26 lows, 11 closes, 20 typical prices, 20 volumes, 20 and 20
-- variances. Before its first value an entry holds what it is made from, or 0. A seed is a state, and where no bars go
-- before as context, 26 of each of these numbers behind it.
create function features.indicator_extended_step_v2(
    state double precision [], seed double precision [], is_context boolean,
    at_time double precision, max_gap double precision,
    high double precision, low double precision, close double precision, typical double precision, volume double precision,
    parkinson double precision, garman_klass double precision
) returns double precision []
language plpgsql immutable parallel safe as $$
declare
    bars integer;
    tied constant double precision := 1e-14;  -- of the mean; TA-Lib's, as the next two
    above constant double precision := 1.00000000000002;
    below constant double precision := 0.99999999999998;
    nothing constant double precision := 1e-200;  -- of a sum that only decays; far above where a double is no number more
    up double precision;
    down double precision;
    range double precision;
    plus double precision;
    minus double precision;
    ranges double precision;
    total double precision;
    strength double precision;
    highs double precision [];
    lows double precision [];
    closes double precision [];
    typicals double precision [];
    volumes double precision [];
    highest double precision;
    lowest double precision;
    spread double precision;
    fast_k double precision := 0.0;
    slow_k double precision := 0.0;
    slow_d double precision := 0.0;
    williams double precision := 0.0;
    upper double precision := 0.0;
    lower double precision := 0.0;
    aroon_up double precision := 0.0;
    aroon_down double precision := 0.0;
    mean double precision;
    deviation double precision;
    cci double precision := 0.0;
    rising double precision;
    falling double precision;
    mfi double precision := 0.0;
    money double precision := 0.0;
    shares double precision := 0.0;
    parkinson_20 double precision := 0.0;
    garman_klass_20 double precision := 0.0;
    change double precision := 0.0;
    ema_20 double precision;
    atr_10 double precision;
    first double precision;
    second double precision;
    third double precision;
    trix double precision := 0.0;
    sar double precision := 0.0;
    next_sar double precision := 0.0;
    extreme double precision := 0.0;
    acceleration double precision := 0.02;
    high_before double precision;
    low_before double precision;
    is_long boolean;
    same_day boolean;
begin
    if state is null then
        state := case
            when cardinality(seed) = 206
                then seed[1:24] || array_fill(0.0::double precision, array[12]) || seed[25:76] || seed[92:102]
                    || seed[109:128] || seed[135:154] || seed[161:180] || seed[187:206]
            else array_fill(0.0::double precision, array[179]) end;
    end if;
    highs := state[38:62] || high;
    lows := state[64:88] || low;
    closes := state[90:99] || close;
    typicals := state[101:119] || typical;
    volumes := state[121:139] || volume;
    if state[1] = 0.0 and seed is not null then
        state[1:24] := seed[1:24];
    end if;
    if is_context or state[1] = 0.0 or at_time - state[2] > max_gap then
        return case
            when is_context then array_fill(0.0::double precision, array[24])
            else array[
                1.0, at_time, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, close, 0.0, close, 0.0, 0.0, 0.0,
                0.0, 0.0, 0.0, 0.0, 0.0, typical * volume, volume] end
        || array_fill(0.0::double precision, array[12]) || highs || lows || closes || typicals || volumes
        || state[141:159] || parkinson || state[161:179] || garman_klass;
    end if;
    bars := state[1] + 1.0;

    -- Wilder's directional movement.
    up := high - highs[25];
    down := lows[25] - low;
    range := greatest(high - low, abs(high - closes[10]), abs(low - closes[10]));
    plus := case when up > 0.0 and up > down then up else 0.0 end;
    minus := case when down > 0.0 and down > up then down else 0.0 end;
    strength := state[6];
    if bars < 15 then
        plus := state[3] + plus;
        minus := state[4] + minus;
        ranges := state[5] + range;
    else
        plus := case when state[3] > nothing then state[3] - state[3] / 14.0 else 0.0 end + plus;
        minus := case when state[4] > nothing then state[4] - state[4] / 14.0 else 0.0 end + minus;
        ranges := case when state[5] > nothing then state[5] - state[5] / 14.0 else 0.0 end + range;
        if ranges > 0.0 then
            up := 100.0 * (plus / ranges);
            down := 100.0 * (minus / ranges);
            total := up + down;
            if total > 0.0 then
                total := 100.0 * (abs(down - up) / total);
                strength := case when bars > 28 then (strength * 13.0 + total) / 14.0 else strength + total end;
            end if;
        end if;
        if bars = 28 then
            strength := strength / 14.0;
        end if;
    end if;

    -- Extremes of 14, 20 and 26 bars; of equal ones the newest counts.
    if bars > 13 then
        highest := greatest(highs[13], highs[14], highs[15], highs[16], highs[17], highs[18], highs[19], highs[20],
            highs[21], highs[22], highs[23], highs[24], highs[25], highs[26]);
        lowest := least(lows[13], lows[14], lows[15], lows[16], lows[17], lows[18], lows[19], lows[20], lows[21],
            lows[22], lows[23], lows[24], lows[25], lows[26]);
        if highest > lowest * above then
            spread := (highest - lowest) / 100.0;
            fast_k := (close - lowest) / spread;
            williams := (highest - close) / -spread;
        end if;
    end if;
    if bars > 15 then
        slow_k := (fast_k + state[7] + state[8]) / 3.0;
    end if;
    if bars > 17 then
        slow_d := (slow_k + state[9] + state[10]) / 3.0;
    end if;
    if bars > 19 then
        upper := greatest(highest, highs[7], highs[8], highs[9], highs[10], highs[11], highs[12]);
        lower := least(lowest, lows[7], lows[8], lows[9], lows[10], lows[11], lows[12]);
    end if;
    if bars > 25 then
        highest := greatest(upper, highs[1], highs[2], highs[3], highs[4], highs[5], highs[6]);
        lowest := least(lower, lows[1], lows[2], lows[3], lows[4], lows[5], lows[6]);
        aroon_up := 4.0 * (26 - array_position(array[highs[26], highs[25], highs[24], highs[23], highs[22], highs[21],
            highs[20], highs[19], highs[18], highs[17], highs[16], highs[15], highs[14], highs[13], highs[12],
            highs[11], highs[10], highs[9], highs[8], highs[7], highs[6], highs[5], highs[4], highs[3], highs[2],
            highs[1]], highest));
        aroon_down := 4.0 * (26 - array_position(array[lows[26], lows[25], lows[24], lows[23], lows[22], lows[21],
            lows[20], lows[19], lows[18], lows[17], lows[16], lows[15], lows[14], lows[13], lows[12], lows[11],
            lows[10], lows[9], lows[8], lows[7], lows[6], lows[5], lows[4], lows[3], lows[2], lows[1]], lowest));
    end if;

    -- The mean is taken of distances from the newest price, so a series that does not move has none.
    if bars > 19 then
        mean := typical + ((typicals[1] - typical) + (typicals[2] - typical) + (typicals[3] - typical) +
            (typicals[4] - typical) + (typicals[5] - typical) + (typicals[6] - typical) + (typicals[7] - typical) +
            (typicals[8] - typical) + (typicals[9] - typical) + (typicals[10] - typical) + (typicals[11] - typical) +
            (typicals[12] - typical) + (typicals[13] - typical) + (typicals[14] - typical) +
            (typicals[15] - typical) + (typicals[16] - typical) + (typicals[17] - typical) +
            (typicals[18] - typical) + (typicals[19] - typical)) / 20.0;
        deviation := (abs(typicals[1] - mean) + abs(typicals[2] - mean) + abs(typicals[3] - mean) +
            abs(typicals[4] - mean) + abs(typicals[5] - mean) + abs(typicals[6] - mean) + abs(typicals[7] - mean) +
            abs(typicals[8] - mean) + abs(typicals[9] - mean) + abs(typicals[10] - mean) + abs(typicals[11] - mean) +
            abs(typicals[12] - mean) + abs(typicals[13] - mean) + abs(typicals[14] - mean) +
            abs(typicals[15] - mean) + abs(typicals[16] - mean) + abs(typicals[17] - mean) +
            abs(typicals[18] - mean) + abs(typicals[19] - mean) + abs(typicals[20] - mean)) / 20.0;
        if deviation > tied * mean and abs(typical - mean) > tied * mean then
            cci := (typical - mean) / (0.015 * deviation);
        end if;
        money := typicals[1] * volumes[1] + typicals[2] * volumes[2] + typicals[3] * volumes[3] +
            typicals[4] * volumes[4] + typicals[5] * volumes[5] + typicals[6] * volumes[6] +
            typicals[7] * volumes[7] + typicals[8] * volumes[8] + typicals[9] * volumes[9] +
            typicals[10] * volumes[10] + typicals[11] * volumes[11] + typicals[12] * volumes[12] +
            typicals[13] * volumes[13] + typicals[14] * volumes[14] + typicals[15] * volumes[15] +
            typicals[16] * volumes[16] + typicals[17] * volumes[17] + typicals[18] * volumes[18] +
            typicals[19] * volumes[19] + typicals[20] * volumes[20];
        shares := volumes[1] + volumes[2] + volumes[3] + volumes[4] + volumes[5] + volumes[6] + volumes[7] +
            volumes[8] + volumes[9] + volumes[10] + volumes[11] + volumes[12] + volumes[13] + volumes[14] +
            volumes[15] + volumes[16] + volumes[17] + volumes[18] + volumes[19] + volumes[20];
        parkinson_20 := state[141] + state[142] + state[143] + state[144] + state[145] + state[146] + state[147] +
            state[148] + state[149] + state[150] + state[151] + state[152] + state[153] + state[154] + state[155] +
            state[156] + state[157] + state[158] + state[159] + parkinson;
        garman_klass_20 := state[161] + state[162] + state[163] + state[164] + state[165] + state[166] + state[167] +
            state[168] + state[169] + state[170] + state[171] + state[172] + state[173] + state[174] + state[175] +
            state[176] + state[177] + state[178] + state[179] + garman_klass;
    end if;
    if bars > 14 then
        rising :=
            case when typicals[7] > typicals[6] * above then typicals[7] * volumes[7] else 0.0 end +
            case when typicals[8] > typicals[7] * above then typicals[8] * volumes[8] else 0.0 end +
            case when typicals[9] > typicals[8] * above then typicals[9] * volumes[9] else 0.0 end +
            case when typicals[10] > typicals[9] * above then typicals[10] * volumes[10] else 0.0 end +
            case when typicals[11] > typicals[10] * above then typicals[11] * volumes[11] else 0.0 end +
            case when typicals[12] > typicals[11] * above then typicals[12] * volumes[12] else 0.0 end +
            case when typicals[13] > typicals[12] * above then typicals[13] * volumes[13] else 0.0 end +
            case when typicals[14] > typicals[13] * above then typicals[14] * volumes[14] else 0.0 end +
            case when typicals[15] > typicals[14] * above then typicals[15] * volumes[15] else 0.0 end +
            case when typicals[16] > typicals[15] * above then typicals[16] * volumes[16] else 0.0 end +
            case when typicals[17] > typicals[16] * above then typicals[17] * volumes[17] else 0.0 end +
            case when typicals[18] > typicals[17] * above then typicals[18] * volumes[18] else 0.0 end +
            case when typicals[19] > typicals[18] * above then typicals[19] * volumes[19] else 0.0 end +
            case when typicals[20] > typicals[19] * above then typicals[20] * volumes[20] else 0.0 end;
        falling :=
            case when typicals[7] < typicals[6] * below then typicals[7] * volumes[7] else 0.0 end +
            case when typicals[8] < typicals[7] * below then typicals[8] * volumes[8] else 0.0 end +
            case when typicals[9] < typicals[8] * below then typicals[9] * volumes[9] else 0.0 end +
            case when typicals[10] < typicals[9] * below then typicals[10] * volumes[10] else 0.0 end +
            case when typicals[11] < typicals[10] * below then typicals[11] * volumes[11] else 0.0 end +
            case when typicals[12] < typicals[11] * below then typicals[12] * volumes[12] else 0.0 end +
            case when typicals[13] < typicals[12] * below then typicals[13] * volumes[13] else 0.0 end +
            case when typicals[14] < typicals[13] * below then typicals[14] * volumes[14] else 0.0 end +
            case when typicals[15] < typicals[14] * below then typicals[15] * volumes[15] else 0.0 end +
            case when typicals[16] < typicals[15] * below then typicals[16] * volumes[16] else 0.0 end +
            case when typicals[17] < typicals[16] * below then typicals[17] * volumes[17] else 0.0 end +
            case when typicals[18] < typicals[17] * below then typicals[18] * volumes[18] else 0.0 end +
            case when typicals[19] < typicals[18] * below then typicals[19] * volumes[19] else 0.0 end +
            case when typicals[20] < typicals[19] * below then typicals[20] * volumes[20] else 0.0 end;
        total := rising + falling;
        mfi := case when total > 0.0 then 100.0 * (rising / total) else 0.0 end;
    end if;
    if bars > 10 then
        change := (close / closes[1] - 1.0) * 100.0;
    end if;

    ema_20 := case
        when bars > 20 then (close - state[12]) * (2.0::double precision / 21.0::double precision) + state[12]
        when bars = 20 then (state[12] + close) / 20.0
        else state[12] + close end;
    atr_10 := case
        when bars > 11 then (state[13] * 9.0 + range) / 10.0
        when bars = 11 then (state[13] + range) / 10.0
        else state[13] + range end;
    first := case
        when bars > 15 then (close - state[14]) * (2.0::double precision / 16.0::double precision) + state[14]
        when bars = 15 then (state[14] + close) / 15.0
        else state[14] + close end;
    second := case
        when bars > 29 then (first - state[15]) * (2.0::double precision / 16.0::double precision) + state[15]
        when bars = 29 then (state[15] + first) / 15.0
        when bars > 14 then state[15] + first
        else 0.0 end;
    third := case
        when bars > 43 then (second - state[16]) * (2.0::double precision / 16.0::double precision) + state[16]
        when bars = 43 then (state[16] + second) / 15.0
        when bars > 28 then state[16] + second
        else 0.0 end;
    if bars > 43 then
        trix := (third / state[16] - 1.0) * 100.0;
    end if;

    -- Wilder's stop and reverse. At the second bar TA-Lib takes the bar itself for the one before it.
    if bars = 2 then
        high_before := high;
        low_before := low;
        is_long := not (lows[25] - low > 0.0 and high - highs[25] < lows[25] - low);
        extreme := case when is_long then high else low end;
        sar := case when is_long then lows[25] else highs[25] end;
    else
        high_before := highs[25];
        low_before := lows[25];
        is_long := state[22] = 1.0;
        extreme := state[20];
        acceleration := state[21];
        sar := state[19];
    end if;
    if (is_long and low <= sar) or (not is_long and high >= sar) then
        is_long := not is_long;
        sar := case when is_long then least(extreme, low_before, low) else greatest(extreme, high_before, high) end;
        acceleration := 0.02;
        extreme := case when is_long then high else low end;
    elsif (is_long and high > extreme) or (not is_long and low < extreme) then
        extreme := case when is_long then high else low end;
        acceleration := least(0.2, acceleration + 0.02);
    end if;
    next_sar := sar + acceleration * (extreme - sar);
    next_sar := case when is_long then least(next_sar, low_before, low) else greatest(next_sar, high_before, high) end;

    same_day := floor(at_time / 86400.0) = floor(state[2] / 86400.0);
    return array[
        bars, at_time, plus, minus, ranges, strength, fast_k, state[7], slow_k, state[9], slow_d, ema_20, atr_10,
        first, second, third, trix, sar, next_sar, extreme, acceleration, case when is_long then 1.0 else 0.0 end,
        case when same_day then state[23] + typical * volume else typical * volume end,
        case when same_day then state[24] + volume else volume end,
        williams, upper, lower, aroon_up, aroon_down, cci, mfi, money, shares, parkinson_20, garman_klass_20, change
    ] || highs || lows || closes || typicals || volumes || state[141:159] || parkinson || state[161:179] || garman_klass;
end $$;

create aggregate features.indicator_extended_v2( -- noqa: PRS
    seed double precision [], is_context boolean, at_time double precision, max_gap double precision,
    high double precision, low double precision, close double precision, typical double precision,
    volume double precision, parkinson double precision, garman_klass double precision
) (sfunc = features.indicator_extended_step_v2, stype = double precision [], parallel = safe);
