{# The rules that rows must keep, as data tests. Each selects the rows that break it. #}

{% test price_order(model) %}
    select * from {{ model }}
    where not (
        low <= least(open, close) and high >= greatest(open, close) and low > 0
    )
{% endtest %}


{% test between(model, column_name, lowest=none, highest=none) %}
    select * from {{ model }}
    where
        false
        {%- if lowest is not none %} or {{ column_name }} < {{ lowest }}{% endif -%}
        {%- if highest is not none %} or {{ column_name }} > {{ highest }}{% endif %}
{% endtest %}


{# No two rows of one publication answer the same question. #}
{% test as_of_key(model, columns) %}
    select {{ columns | join(', ') }}
    from {{ model }}
    group by {{ columns | join(', ') }}
    having count(*) > 1
{% endtest %}
