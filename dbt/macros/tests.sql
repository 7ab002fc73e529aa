{# The rules that rows must keep, as data tests. Each selects the rows that break it. #}

{#
    Each row keeps the contract of its table: nothing is missing that must be there, and every condition holds. The
    constraints of a view, which PostgreSQL cannot have. `broken` names the first that does not hold.
#}
{% test keeps_contract(model, not_null=[], conditions={}) %}
    with judged as (

        select
            *,
            case
                {%- for name in not_null %}
                when {{ name }} is null then '{{ name }} is missing'
                {%- endfor %}
                {%- for name, condition in conditions.items() %}
                when not ({{ condition }}) then '{{ name }}'
                {%- endfor %}
            end as broken
        from {{ model }}

    )

    select * from judged where broken is not null
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
