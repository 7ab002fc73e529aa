{#
    A view whose rows are versions: append-only, made by features.advance, never dropped.

    The compiled SQL is registered as the view's definition (docs/decisions/0030); the same SQL again changes nothing,
    a changed one is a new definition whose rows come beside the old. --full-refresh is the same as no --full-refresh:
    there is nothing to refresh in what is never overwritten. The model selects from a pending_* relation, whose rows
    features.advance puts in place.
#}
{% materialization versioned, adapter='postgres' %}
    {%- set definition_sql = without_database(sql) -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {% call statement('main') -%}
        select features.register(
            '{{ this.schema }}.{{ this.identifier }}',
            $definition${{ definition_sql }}$definition$,
            $parameters${{ tojson(config.get('parameters', {}), sort_keys=true) }}$parameters$::jsonb
        )
    {%- endcall %}
    {% call statement('describe') -%}
        call features.describe(
            features.active('{{ this.schema }}.{{ this.identifier }}'),
            $words${{ tojson(described_columns()) }}$words$::jsonb
        )
    {%- endcall %}
    {% call statement('advance') -%}
        call features.advance()
    {%- endcall %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [this.incorporate(type='table')]}) }}
{% endmaterialization %}


{# A definition must not depend on the name of the database it was compiled in, and reads its working rows by bare name. #}
{% macro without_database(compiled) -%}
    {{ return(
        compiled
        | replace('"' ~ target.database ~ '".', '')
        | replace('"features"."pending_bars"', 'pending_bars')
        | replace('"features"."pending_indicators"', 'pending_indicators')
    ) }}
{%- endmacro %}
