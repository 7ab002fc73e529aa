-- Which symbols a call by lists was asked for: only the same call goes on where a stopped one left it.

alter table raw.served add column asked text[];
comment on column raw.served.asked is 'All symbols of the call, in their order; null before there was this column.';
