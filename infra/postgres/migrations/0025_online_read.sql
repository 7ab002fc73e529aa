-- The online read asks for the newest row of a hundred series at once. The index that everything else uses begins with
-- texts (the definition's name alone has 64 letters), so a descent compares texts at every step; this one begins with
-- one number for the whole series and is a quarter of its size. The texts are compared once, with the row that is found.

create function features.series_key(of_definition text, of_source text, of_symbol text, of_interval text) returns bigint
language sql immutable parallel safe
return hashtextextended(of_definition || e'\x1f' || of_source || e'\x1f' || of_symbol || e'\x1f' || of_interval, 0);

create index daily_newest on features.daily (
    features.series_key(definition, source, symbol, interval), timestamp desc, known_at desc, watermark desc, row_id desc
);

-- Whether a process has read every instrument that there is, asked with each online read.
create index instruments_watermark on trading.instruments (watermark);
