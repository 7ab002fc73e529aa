-- How far a definition has been advanced is asked several times with every batch of a live feed, which adds an advance
-- each: the newest row says it. Advances of one definition go forward in both numbers; several of one watermark are of
-- one transaction.
create or replace function features.advanced_to(of_definition text, out source_watermark bigint, out watermark bigint)
language sql stable
begin atomic
    select coalesce(max(newest.source_watermark), 0), coalesce(max(newest.watermark), 0)
    from (
        select a.source_watermark, a.watermark
        from features.advances as a
        where a.definition = advanced_to.of_definition
        order by a.watermark desc, a.source_watermark desc
        limit 1
    ) as newest;
end;
