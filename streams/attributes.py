"""Search attributes as the core wants them checked: the rules of the search package."""

from schemas.errors import InvalidArgument
from schemas.temporal import common
from search.attributes import SYSTEM, type_of
from search.payloads import with_types
from search.validation import check_sizes, validate_values
from topology.decision import Namespace


class SearchAttributes:
    """Implements `topology.decision.Attributes`."""

    def checked(
        self, attributes: common.SearchAttributes, namespace: Namespace
    ) -> common.SearchAttributes:
        """Return them with their types' names beside the values; raises InvalidArgument."""
        custom = namespace.search_attributes
        for name in attributes.indexed_fields:
            if name not in SYSTEM and type_of(name, custom) is None:
                raise InvalidArgument(
                    f"Namespace {namespace.name} has no mapping defined for search attribute {name}"
                )
        validate_values(attributes, custom)
        return with_types(attributes, custom)

    def check_size(self, attributes: common.SearchAttributes) -> None:
        """Check what a run has in all; raises InvalidArgument."""
        check_sizes(attributes)
