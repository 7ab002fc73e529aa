-- Indicators, second definition: one state holds everything that a bar needs of the bars before it, so that a bar that
-- continues its series is one step; and a gap longer than the definition allows begins the series anew.

-- One bar further. The recursions are those of indicator_step_v1, operation by operation. Windows are running sums: what
-- comes in is added, what leaves is subtracted. Squares are of deviations from the mean (Welford), so a series that does
-- not move has none. A running sum keeps the rounding of values that left long ago, however large they were; so beside it
-- runs the plain sum of a block of 20, which takes its place each time the block is full. Only + - * /, which IEEE fixes;
-- the order of operations is part of the definition.
--
-- at_time and max_gap are seconds. close_20, close_21 and close_50 are the closes that many bars before; where there are
-- not as many since the series began they are not looked at.
--
-- state: [1] bars so far, [2] time, [3] close, [4] EMA 12, [5] EMA 26, [6] MACD's fast average, [7] MACD's signal, [8] mean
-- gain and [9] mean loss (Wilder, 14), [10] ATR 14, [11] OBV, [12] sum and [13] squares of 20 closes, [14] sum of 50 closes,
-- [15] sum and [16] squares of 20 returns, [17] sum and [18] squares of the block of closes, [19] and [20] of returns.
-- Before its first value an entry holds what it is made from.
create function features.indicator_step_v2(
    state double precision [], seed double precision [], at_time double precision, max_gap double precision,
    high double precision, low double precision, close double precision, volume double precision,
    close_20 double precision, close_21 double precision, close_50 double precision
) returns double precision []
language plpgsql immutable parallel safe as $$
declare
    bars integer;
    place integer;
    before double precision;
    change double precision;
    moved double precision;
    gain double precision;
    loss double precision;
    range double precision;
    ema_12 double precision;
    ema_26 double precision;
    fast double precision;
    signal double precision;
    sum_20 double precision;
    squares_20 double precision;
    moved_20 double precision;
    moved_squares_20 double precision;
    left_20 double precision;
    block_20 double precision;
    block_squares_20 double precision;
    block_moved double precision;
    block_moved_squares double precision;
begin
    if state is null then
        state := seed;
    end if;
    if state is null or at_time - state[2] > max_gap then
        return array[1.0, at_time, close, close, close, 0.0, 0.0, 0.0, 0.0, 0.0, volume,
            close, 0.0, close, 0.0, 0.0, close, 0.0, 0.0, 0.0];
    end if;
    bars := state[1] + 1.0;
    before := state[3];
    change := close - before;
    moved := change / before;
    gain := case when change > 0.0 then change else 0.0 end;
    loss := case when change < 0.0 then -change else 0.0 end;
    range := greatest(high - low, abs(before - high), abs(before - low));
    ema_12 := state[4];
    ema_26 := state[5];
    fast := state[6];
    signal := state[7];

    if bars > 34 then
        ema_12 := (close - ema_12) * (2.0::double precision / 13.0::double precision) + ema_12;
        ema_26 := (close - ema_26) * (2.0::double precision / 27.0::double precision) + ema_26;
        fast := (close - fast) * (2.0::double precision / 13.0::double precision) + fast;
        signal := (fast - ema_26 - signal) * (2.0::double precision / 10.0::double precision) + signal;
        gain := (state[8] * 13.0 + gain) / 14.0;
        loss := (state[9] * 13.0 + loss) / 14.0;
        range := (state[10] * 13.0 + range) / 14.0;
    else
        ema_12 := case
            when bars > 12 then (close - ema_12) * (2.0::double precision / 13.0::double precision) + ema_12
            when bars = 12 then (ema_12 + close) / 12.0
            else ema_12 + close end;
        ema_26 := case
            when bars > 26 then (close - ema_26) * (2.0::double precision / 27.0::double precision) + ema_26
            when bars = 26 then (ema_26 + close) / 26.0
            else ema_26 + close end;
        fast := case
            when bars > 26 then (close - fast) * (2.0::double precision / 13.0::double precision) + fast
            when bars = 26 then (fast + close) / 12.0
            when bars > 14 then fast + close
            else 0.0 end;
        signal := case
            when bars = 34 then (signal + (fast - ema_26)) / 9.0
            when bars >= 26 then signal + (fast - ema_26)
            else 0.0 end;
        gain := case
            when bars > 15 then (state[8] * 13.0 + gain) / 14.0
            when bars = 15 then (state[8] + gain) / 14.0
            else state[8] + gain end;
        loss := case
            when bars > 15 then (state[9] * 13.0 + loss) / 14.0
            when bars = 15 then (state[9] + loss) / 14.0
            else state[9] + loss end;
        range := case
            when bars > 15 then (state[10] * 13.0 + range) / 14.0
            when bars = 15 then (state[10] + range) / 14.0
            else state[10] + range end;
    end if;

    place := (bars - 1) % 20;
    if place = 0 then
        block_20 := close;
        block_squares_20 := 0.0;
    else
        block_20 := state[17] + close;
        block_squares_20 := state[18] + (close - state[17] / place) * (close - block_20 / (place + 1));
    end if;
    if place = 19 or bars < 20 then
        sum_20 := block_20;
        squares_20 := block_squares_20;
    else
        sum_20 := state[12] - close_20 + close;
        squares_20 := greatest(0.0,
            state[13] + (close - close_20) * ((close - sum_20 / 20.0) + (close_20 - state[12] / 20.0)));
    end if;

    -- The first return comes with the second bar.
    if place = 1 then
        block_moved := moved;
        block_moved_squares := 0.0;
    else
        place := case when place = 0 then 19 else place - 1 end;
        block_moved := state[19] + moved;
        block_moved_squares := state[20] + (moved - state[19] / place) * (moved - block_moved / (place + 1));
    end if;
    if place = 19 or bars < 21 then
        moved_20 := block_moved;
        moved_squares_20 := block_moved_squares;
    else
        left_20 := (close_20 - close_21) / close_21;
        moved_20 := state[15] - left_20 + moved;
        moved_squares_20 := greatest(0.0,
            state[16] + (moved - left_20) * ((moved - moved_20 / 20.0) + (left_20 - state[15] / 20.0)));
    end if;

    return array[
        bars, at_time, close, ema_12, ema_26, fast, signal, gain, loss, range,
        case when change > 0.0 then state[11] + volume when change < 0.0 then state[11] - volume else state[11] end,
        sum_20, squares_20, case when bars > 50 then state[14] - close_50 + close else state[14] + close end, moved_20, moved_squares_20,
        block_20, block_squares_20, block_moved, block_moved_squares
    ];
end $$;

create aggregate features.indicator_state_v2( -- noqa: PRS
    seed double precision [], at_time double precision, max_gap double precision,
    high double precision, low double precision, close double precision, volume double precision,
    close_20 double precision, close_21 double precision, close_50 double precision
) (sfunc = features.indicator_step_v2, stype = double precision [], parallel = safe);

-- The rows of an indicator definition over pending bars that `pending_sql` selects, each with its hash. With the parameter
-- row_hash 2 that is the sha256 of the record in PostgreSQL's binary form, one call for all columns; without, it is
-- features.indicator_hash. The Python twin of both is feature_store/rows.py.
create or replace function features.indicator_sql(of_definition text, pending_sql text) returns text
language sql stable
return (
    select format(
        $sql$
        with pending_bars as (%s)
        select made.*, %s as row_hash
        from (%s
        ) as made$sql$, pending_sql,
        format(
            case coalesce(d.parameters ->> 'row_hash', '1')
                when '2' then
                    'sha256(record_send(row(%L::text, made.source, made.symbol, made.interval, made.timestamp, made.known_at, '
                    'made.nominal_at, made.bar_hash, %s, made.state)))'
                else
                    'features.indicator_hash(%L, made.source, made.symbol, made.interval, made.timestamp, made.known_at, '
                    'made.nominal_at, made.bar_hash, %s, made.state)'
            end,
            d.definition,
            case coalesce(d.parameters ->> 'row_hash', '1')
                when '2' then features.column_list(d.columns, 'made')
                else features.number_array(d.columns, 'made')
            end),
        d.sql)
    from features.definitions as d
    where d.definition = of_definition
);
