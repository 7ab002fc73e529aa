-- What a backtest would have come to under knowledge of today: the survivorship and the restatement difference.

create table trading.comparisons (
    comparison_id bigint generated always as identity primary key,
    source text not null,
    universe text not null,
    model_name text not null,
    model_version text not null,
    first_timestamp timestamptz not null,
    last_timestamp timestamptz not null,
    members text[] not null,
    todays_members text[] not null,
    buy_and_hold_return double precision not null,
    model_return double precision not null,
    todays_buy_and_hold_return double precision not null,
    todays_model_return double precision not null,
    latest_buy_and_hold_return double precision not null,
    latest_model_return double precision not null,
    restated_bars integer not null check (restated_bars >= 0),
    watermark bigint not null references raw.watermarks,
    recorded_at timestamptz not null default clock_timestamp(),
    check (first_timestamp <= last_timestamp)
);
comment on table trading.comparisons is 'One window, three times: the universe and the prints as they were, today''s members, the latest versions.';
comment on column trading.comparisons.universe is 'Its name; empty for the built-in one: the symbols that had bars when training ended.';
comment on column trading.comparisons.todays_buy_and_hold_return is 'Less buy_and_hold_return: the survivorship difference.';
comment on column trading.comparisons.latest_buy_and_hold_return is 'Less buy_and_hold_return: the restatement difference.';
create index on trading.comparisons (source, comparison_id desc);

create trigger append_only before update or delete or truncate on trading.comparisons
for each statement execute function raw.refuse_change();
