-- What the loop writes: sessions, decisions, orders, fills, the journal, and the chain of events.
-- Ids are functions of what they name, so that a step done twice is done once. Wall times (`*_at` of ours) are for people
-- and never part of a row's identity. How row hashes are made is said once, in trading/adapters/ledger.py.

create table trading.sessions (
    session_id text primary key,
    name text not null,
    mode text not null check (mode in ('replay', 'paper', 'live')),
    source text not null,
    interval text not null,
    symbols text[] not null check (cardinality(symbols) > 0),
    model_name text not null,
    alias text,
    model_version text not null,
    weights_sha256 text not null,
    feature_service jsonb not null,
    currency text not null,
    starting_cash numeric(20, 8) not null check (starting_cash > 0),
    costs jsonb not null,
    risk jsonb not null,
    latency interval not null check (latency >= interval '0'),
    first_timestamp timestamptz not null,
    last_timestamp timestamptz not null check (last_timestamp >= first_timestamp),
    watermark bigint not null,
    status text not null default 'running' check (status in ('running', 'finished')),
    created_at timestamptz not null,
    finished_at timestamptz,
    trace_id text not null,
    check ((status = 'finished') = (finished_at is not null))
);

-- A session's terms never change: only that it has finished.
create function trading.keep_session_terms() returns trigger
language plpgsql as $$
begin
    if tg_op <> 'UPDATE' or (to_jsonb(new) - 'status' - 'finished_at') is distinct from (to_jsonb(old) - 'status' - 'finished_at')
       or old.status = 'finished' then
        raise exception 'trading.sessions: the terms of a session never change; start another session instead'
            using errcode = 'integrity_constraint_violation';
    end if;
    return new;
end $$;
create trigger keep_terms before update or delete on trading.sessions
    for each row execute function trading.keep_session_terms();
create trigger keep_rows before truncate on trading.sessions
    for each statement execute function raw.refuse_change();

-- The kill switch: its newest state holds; without one the session is ACTIVE.
create table trading.session_switches (
    switch_id bigint generated always as identity primary key,
    session_id text not null references trading.sessions,
    state text not null check (state in ('active', 'reducing', 'halted')),
    reason text not null,
    trace_id text not null,
    recorded_at timestamptz not null default clock_timestamp()
);

-- How far a session has come: each step of each bar, committed with what the step wrote.
create table trading.session_steps (
    session_id text not null references trading.sessions,
    timestamp timestamptz not null,
    step text not null check (step in ('marked', 'decided')),
    primary key (session_id, timestamp, step)
);

create table trading.decisions (
    decision_id text primary key,
    session_id text not null references trading.sessions,
    symbol text not null,
    timestamp timestamptz not null,
    as_of timestamptz not null,
    watermark bigint not null,
    decided_at timestamptz not null,
    source text not null,
    bar_id bigint not null references raw.price_bars,
    bar_row_hash bytea not null check (octet_length(bar_row_hash) = 32),
    definition text,
    feature_row_id bigint,
    feature_row_hash bytea check (octet_length(feature_row_hash) = 32),
    feature_timestamp timestamptz,
    vector double precision[],
    model_name text not null,
    model_version text not null,
    weights_sha256 text not null,
    snapshot_id text,
    scorer text,
    scorer_version text,
    sentiment double precision,
    analyst_sentiment double precision,
    sentiment_items jsonb not null default '[]'::jsonb,
    action smallint check (action in (0, 1, 2)),
    confidence double precision check (confidence between 0 and 1),
    price_usd numeric(15, 6) not null check (price_usd > 0),
    position_quantity numeric(20, 8) not null check (position_quantity >= 0),
    cash_usd numeric(20, 8) not null,
    equity_usd numeric(20, 8) not null,
    outcome text not null check (outcome in ('ordered', 'held', 'denied', 'nothing_to_do')),
    reason_code text,
    reason jsonb not null default '{}'::jsonb,
    environment jsonb not null default '{}'::jsonb,
    trace_id text not null,
    row_hash bytea not null check (octet_length(row_hash) = 32),
    unique (session_id, symbol, timestamp),
    check ((feature_row_id is null) = (feature_row_hash is null)),
    check (feature_row_id is not null or outcome = 'denied'),
    check (action is not null or outcome = 'denied'),
    check (outcome <> 'denied' or reason_code is not null)
);
create index on trading.decisions (session_id, timestamp, symbol);

create table trading.order_intents (
    client_order_id text primary key,
    decision_id text not null unique references trading.decisions,
    session_id text not null references trading.sessions,
    symbol text not null,
    side text not null check (side in ('buy', 'sell')),
    quantity numeric(20, 8) not null check (quantity > 0),
    decision_price_usd numeric(15, 6) not null check (decision_price_usd > 0),
    eligible_at timestamptz not null,
    row_hash bytea not null check (octet_length(row_hash) = 32)
);
create index on trading.order_intents (session_id);

-- The paper broker's own book. A broker is another party: it is written in transactions of its own, knows only what it
-- was sent, and is asked by client order id when we do not know whether it heard us.
create table trading.paper_orders (
    client_order_id text primary key,
    symbol text not null,
    side text not null check (side in ('buy', 'sell')),
    quantity numeric(20, 8) not null check (quantity > 0),
    as_of timestamptz not null,
    decision_price_usd numeric(15, 6) not null check (decision_price_usd > 0),
    accepted_at timestamptz not null default clock_timestamp()
);

-- What the broker said to an intent.
create table trading.orders (
    client_order_id text primary key references trading.order_intents,
    session_id text not null references trading.sessions,
    broker text not null,
    broker_order_id text not null,
    unique (broker, broker_order_id)
);
create index on trading.orders (session_id);

create table trading.fills (
    fill_id text primary key,
    client_order_id text not null references trading.orders,
    session_id text not null references trading.sessions,
    symbol text not null,
    side text not null check (side in ('buy', 'sell')),
    quantity numeric(20, 8) not null check (quantity > 0),
    price_usd numeric(15, 6) not null check (price_usd > 0),
    open_usd numeric(15, 6) not null check (open_usd > 0),
    notional_usd numeric(20, 8) not null check (notional_usd >= 0),
    slippage_usd numeric(20, 8) not null check (slippage_usd >= 0),
    commission_usd numeric(20, 8) not null check (commission_usd >= 0),
    realized_pnl_usd numeric(20, 8) not null,
    sequence smallint not null check (sequence > 0),
    timestamp timestamptz not null,
    filled_at timestamptz not null,
    bar_id bigint not null references raw.price_bars,
    bar_row_hash bytea not null check (octet_length(bar_row_hash) = 32),
    reason jsonb not null default '{}'::jsonb,
    row_hash bytea not null check (octet_length(row_hash) = 32),
    unique (client_order_id, sequence)
);
create index on trading.fills (session_id, timestamp);

-- An order that the open made impossible (no cash for one lot, nothing left to sell) ends without a fill.
create table trading.order_cancellations (
    client_order_id text primary key references trading.orders,
    session_id text not null references trading.sessions,
    timestamp timestamptz not null,
    reason_code text not null,
    reason jsonb not null default '{}'::jsonb
);

create view trading.order_states as
select
    i.client_order_id,
    i.decision_id,
    i.session_id,
    i.symbol,
    i.side,
    i.quantity,
    i.eligible_at,
    o.broker,
    o.broker_order_id,
    f.quantity as filled_quantity,
    case
        when f.client_order_id is not null then 'filled'
        when c.client_order_id is not null then 'cancelled'
        when o.client_order_id is not null then 'open'
        else 'in_flight'
    end as status,
    c.reason_code
from trading.order_intents as i
left join trading.orders as o using (client_order_id)
left join trading.fills as f using (client_order_id)
left join trading.order_cancellations as c using (client_order_id);

-- Corporate actions applied to a position, once each.
create table trading.position_splits (
    session_id text not null references trading.sessions,
    symbol text not null,
    ex_date date not null,
    timestamp timestamptz not null,
    ratio numeric(20, 10) not null check (ratio > 0),
    quantity_before numeric(20, 8) not null check (quantity_before >= 0),
    quantity_after numeric(20, 8) not null check (quantity_after >= 0),
    cash_in_lieu_usd numeric(20, 8) not null check (cash_in_lieu_usd >= 0),
    action_id bigint not null references raw.corporate_actions,
    primary key (session_id, symbol, ex_date)
);

-- The journal: double entry, debits positive; each transaction sums to zero per currency. Accounts: trading/portfolio.py.
create table trading.postings (
    posting_id bigint generated always as identity primary key,
    session_id text not null references trading.sessions,
    transaction_id text not null,
    line smallint not null check (line > 0),
    account text not null,
    currency text not null,
    amount numeric(20, 8) not null,
    timestamp timestamptz not null,
    unique (session_id, transaction_id, line)
);

create table trading.accounts (
    session_id text not null references trading.sessions,
    account text not null,
    currency text not null,
    balance numeric(20, 8) not null,
    primary key (session_id, account, currency),
    constraint cash_is_never_negative check (account <> 'cash' or balance >= 0),
    constraint cost_is_never_negative check (account not like 'position:%' or balance >= 0)
);
comment on table trading.accounts is 'Balances, kept by the journal''s trigger alone: always the sum of the postings.';

create function trading.keep_balances() returns trigger
language plpgsql as $$
begin
    insert into trading.accounts (session_id, account, currency, balance)
    select distinct p.session_id, p.account, p.currency, 0 from added as p
    on conflict (session_id, account, currency) do nothing;
    -- Not one upsert: the checks would see the change itself as a balance.
    update trading.accounts as a set balance = a.balance + moved.amount
    from (
        select p.session_id, p.account, p.currency, sum(p.amount) as amount from added as p group by 1, 2, 3
    ) as moved
    where (a.session_id, a.account, a.currency) = (moved.session_id, moved.account, moved.currency);
    return null;
end $$;
create trigger balances after insert on trading.postings
    referencing new table as added for each statement execute function trading.keep_balances();

create function trading.refuse_unbalanced() returns trigger
language plpgsql as $$
declare
    broken record;
begin
    select p.currency, sum(p.amount) as total into broken from trading.postings as p
    where p.session_id = new.session_id and p.transaction_id = new.transaction_id
    group by p.currency having sum(p.amount) <> 0 limit 1;
    if found then
        raise exception 'transaction % does not balance: its postings in % sum to %', new.transaction_id, broken.currency, broken.total
            using errcode = 'check_violation', constraint = 'double_entry';
    end if;
    return null;
end $$;
create constraint trigger double_entry after insert on trading.postings
    deferrable initially deferred for each row execute function trading.refuse_unbalanced();

create table trading.positions (
    session_id text not null references trading.sessions,
    symbol text not null,
    quantity numeric(20, 8) not null,
    cost_usd numeric(20, 8) not null,
    realized_pnl_usd numeric(20, 8) not null,
    timestamp timestamptz not null,
    primary key (session_id, symbol),
    constraint long_only check (quantity >= 0)
);

-- A position is what its fills and splits made it: nobody may write a quantity that they do not explain.
create function trading.refuse_unexplained_position() returns trigger
language plpgsql as $$
declare
    explained numeric;
    held numeric;
begin
    select coalesce(sum(case f.side when 'buy' then f.quantity else -f.quantity end), 0) into explained
    from trading.fills as f where f.session_id = new.session_id and f.symbol = new.symbol;
    select explained + coalesce(sum(s.quantity_after - s.quantity_before), 0) into explained
    from trading.position_splits as s where s.session_id = new.session_id and s.symbol = new.symbol;
    select p.quantity into held from trading.positions as p where p.session_id = new.session_id and p.symbol = new.symbol;
    if held <> explained then
        raise exception 'position % of session % holds % but its fills and splits make %', new.symbol, new.session_id, held, explained
            using errcode = 'check_violation', constraint = 'position_is_explained';
    end if;
    return null;
end $$;
create constraint trigger position_is_explained after insert or update on trading.positions
    deferrable initially deferred for each row execute function trading.refuse_unexplained_position();

create table trading.portfolio_snapshots (
    session_id text not null references trading.sessions,
    timestamp timestamptz not null,
    cash_usd numeric(20, 8) not null check (cash_usd >= 0),
    positions_value_usd numeric(20, 8) not null check (positions_value_usd >= 0),
    equity_usd numeric(20, 8) not null,
    quantities jsonb not null,
    prices_usd jsonb not null,
    primary key (session_id, timestamp),
    constraint equity_is_cash_and_positions check (equity_usd = cash_usd + positions_value_usd)
);

-- One chain of events per session. The payload is text: its bytes are hashed, and jsonb would rewrite them.
create table trading.events (
    session_id text not null references trading.sessions,
    sequence bigint not null check (sequence > 0),
    kind text not null,
    occurred_at timestamptz not null,
    payload text not null check (payload is json),
    previous_hash bytea not null check (octet_length(previous_hash) = 32),
    hash bytea not null check (octet_length(hash) = 32),
    recorded_at timestamptz not null default clock_timestamp(),
    primary key (session_id, sequence)
);
comment on column trading.events.occurred_at is 'The session''s own clock, simulated in a replay.';

create function trading.event_hash(session_id text, sequence bigint, kind text, occurred_at timestamptz, payload text, previous_hash bytea)
returns bytea
language sql immutable parallel safe
return sha256(raw.canon(session_id) || raw.canon(sequence) || raw.canon(kind) || raw.canon(occurred_at)
              || raw.canon(payload) || raw.canon(previous_hash));

create function trading.refuse_broken_chain() returns trigger
language plpgsql as $$
declare
    head record;
begin
    select e.sequence, e.hash into head from trading.events as e
    where e.session_id = new.session_id order by e.sequence desc limit 1;
    if new.sequence <> coalesce(head.sequence, 0) + 1
       or new.previous_hash <> coalesce(head.hash, decode(repeat('00', 32), 'hex'))
       or new.hash <> trading.event_hash(new.session_id, new.sequence, new.kind, new.occurred_at, new.payload, new.previous_hash) then
        raise exception 'event % of session % does not continue its chain (the head is event %)',
            new.sequence, new.session_id, coalesce(head.sequence, 0)
            using errcode = 'check_violation', constraint = 'event_chain';
    end if;
    return new;
end $$;
create trigger event_chain before insert on trading.events
    for each row execute function trading.refuse_broken_chain();

-- The head of a chain at a moment, kept here and as an object in S3: who rewrites the chain must rewrite that too.
create table trading.event_anchors (
    session_id text not null,
    sequence bigint not null,
    hash bytea not null check (octet_length(hash) = 32),
    object_key text not null,
    object_sha256 text not null check (object_sha256 ~ '^[0-9a-f]{64}$'),
    anchored_at timestamptz not null,
    primary key (session_id, sequence),
    foreign key (session_id, sequence) references trading.events (session_id, sequence)
);

create table trading.promotions (
    promotion_id bigint generated always as identity primary key,
    model_name text not null,
    alias text not null,
    from_version text,
    to_version text not null,
    verdict text not null check (verdict in ('promoted', 'refused', 'rolled_back', 'baseline')),
    reason text not null,
    report jsonb not null default '{}'::jsonb,
    decided_at timestamptz not null,
    trace_id text not null
);
create index on trading.promotions (model_name, promotion_id);

create table trading.strategies (
    strategy_id text primary key,
    name text not null,
    kind text not null,
    model_name text,
    model_version text,
    parameters jsonb not null default '{}'::jsonb,
    created_at timestamptz not null,
    unique nulls not distinct (name, kind, model_name, model_version, parameters)
);

create table trading.backtests (
    backtest_id text primary key,
    strategy_id text references trading.strategies,
    model_name text not null,
    model_version text not null,
    source text not null,
    symbols text[] not null check (cardinality(symbols) > 0),
    first_timestamp timestamptz not null,
    last_timestamp timestamptz not null check (last_timestamp >= first_timestamp),
    watermark bigint not null,
    snapshot_id text,
    starting_cash numeric(20, 8) not null check (starting_cash > 0),
    costs jsonb not null,
    metrics jsonb not null,
    created_at timestamptz not null,
    trace_id text not null
);

create table trading.backtest_trades (
    backtest_id text not null references trading.backtests,
    sequence integer not null check (sequence > 0),
    symbol text not null,
    side text not null check (side in ('buy', 'sell')),
    quantity numeric(20, 8) not null check (quantity > 0),
    price_usd numeric(15, 6) not null check (price_usd > 0),
    slippage_usd numeric(20, 8) not null check (slippage_usd >= 0),
    commission_usd numeric(20, 8) not null check (commission_usd >= 0),
    timestamp timestamptz not null,
    primary key (backtest_id, sequence)
);

create view trading.trading_signals as
select
    d.session_id,
    d.symbol,
    d.timestamp,
    d.as_of,
    case d.action when 0 then 'HOLD' when 1 then 'BUY' when 2 then 'SELL' end as signal,
    d.confidence,
    d.model_name,
    d.model_version,
    d.outcome,
    d.reason_code,
    d.decision_id
from trading.decisions as d;

do $$
declare
    name text;
begin
    foreach name in array array['session_switches', 'session_steps', 'decisions', 'order_intents', 'paper_orders', 'orders', 'fills',
                                'order_cancellations', 'position_splits', 'postings', 'portfolio_snapshots', 'events',
                                'event_anchors', 'promotions', 'strategies', 'backtests', 'backtest_trades'] loop
        execute format('create trigger append_only before update or delete or truncate on trading.%I for each statement execute function raw.refuse_change()', name);
    end loop;
end $$;
