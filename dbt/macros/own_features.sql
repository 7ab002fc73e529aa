{#
    Features of your own: a file in macros/features with one expression, and one line in dbt_project.yml
    (docs/adding-a-feature.md). The names are looked up when a model is compiled, so that the expression is a part of
    the model's SQL and with it of the definition. Without a line nothing is added, to the byte.
#}

{# The list, each line checked: name, over ('bars' or 'row'), description, unit, warm_up (bars; 0 by default). #}
{% macro own_features(over=none) -%}
    {%- set found = [] -%}
    {%- for feature in var('own_features', none) or [] -%}
        {%- set name = feature.name | default('') -%}
        {%- if not modules.re.fullmatch('[a-z][a-z0-9_]*', name) -%}
            {{ exceptions.raise_compiler_error("expected own_features to have names such as band_position, found '" ~ name ~ "'; see docs/adding-a-feature.md") }}
        {%- elif feature.over not in ('bars', 'row') -%}
            {{ exceptions.raise_compiler_error("expected " ~ name ~ " to be over: bars or over: row, found '" ~ feature.over ~ "'; see docs/adding-a-feature.md") }}
        {%- elif name not in context -%}
            {{ exceptions.raise_compiler_error("expected dbt/macros/features/" ~ name ~ ".sql with a macro " ~ name ~ ", found none; see docs/adding-a-feature.md") }}
        {%- elif over is none or feature.over == over -%}
            {%- do found.append(feature) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}


{% macro own_expression(feature) -%}
    ({{ context[feature.name]() | trim }})::double precision
{%- endmacro %}


{#
    The parameters of marts.indicators. Expressions over bars look back on the bars themselves; where there are any, new
    bars must not be computed from a seed alone, which brings closes and nothing else (seed_closes, migration 0016).
#}
{% macro own_parameters(given) -%}
    {%- if own_features('bars') -%}
        {%- do given.pop('seed_closes') -%}
    {%- endif -%}
    {{ return(given) }}
{%- endmacro %}


{# In marts.indicators, among the windows: expressions over the adjusted bars and up to 49 bars before. #}
{% macro own_over_bars() -%}
    {%- for feature in own_features('bars') %}
        {{ own_expression(feature) }} as {{ feature.name }},
    {%- endfor -%}
{%- endmacro %}


{# The windows that they may name, where there are any. #}
{% macro own_windows() -%}
    {%- if own_features('bars') -%}
        ,
        window_20 as (series rows between 19 preceding and current row),
        window_50 as (series rows between 49 preceding and current row)
    {%- endif -%}
{%- endmacro %}


{# In the last select of marts.indicators: nothing before the bars that it warms up on. #}
{% macro own_warmed_up() -%}
    {%- for feature in own_features('bars') %}
        case when state[1] >= {{ feature.warm_up | default(1) | int }} then {{ feature.name }} end as {{ feature.name }},
    {%- endfor -%}
{%- endmacro %}


{# In the last select of features.daily: those over bars as they are, those over a row's columns computed here. #}
{% macro own_of_a_day() -%}
    {%- for feature in own_features() %}
        {% if feature.over == 'row' %}{{ own_expression(feature) }} as {% endif %}{{ feature.name }},
    {%- endfor -%}
{%- endmacro %}


{# What the columns of a model are, for the registry: the words of the YAML twins and those of own_features. #}
{% macro described_columns() -%}
    {%- set words = [] -%}
    {%- set taken_over = [graph.nodes['model.tradeloom.indicators']] if model.name == 'daily' else [] -%}
    {%- for twin in taken_over + [model] -%}
        {%- for column in twin.columns.values() -%}
            {%- set said = column.config.meta -%}
            {%- do words.append({
                'feature': column.name, 'description': column.description, 'unit': said.unit | default(''),
                'warm_up_bars': said.warm_up | default(0), 'source_file': 'dbt/' ~ twin.original_file_path,
            }) if said.unit -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for feature in own_features() -%}
        {%- do words.append({
            'feature': feature.name, 'description': feature.description | default(''),
            'unit': feature.unit | default(''), 'warm_up_bars': feature.warm_up | default(0),
            'source_file': 'dbt/macros/features/' ~ feature.name ~ '.sql',
        }) -%}
    {%- endfor -%}
    {{ return(words) }}
{%- endmacro %}
