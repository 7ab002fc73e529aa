{#
    How long a gap between two bars the views of indicators bridge, by interval: a longer one begins the series anew.
    The longest closure of the exchanges since 1998 was 7 days (docs/decisions/0076).
#}
{% macro longest_gaps() -%}
    {{ return({'1d': '15 days', '1w': '35 days', '1mo': '95 days', 'other': '10 days'}) }}
{%- endmacro %}
