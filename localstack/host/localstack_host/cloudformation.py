"""Teaches LocalStack 4.14's CloudFormation two things that the real one does.

The container runs this file when it starts; without Docker a hook of `servers` imports it.
"""

import re

from localstack.services.cloudformation.engine import transformers
from localstack.services.cloudformation.engine.v2.change_set_model_transform import (
    ChangeSetModelTransform,
)
from localstack.services.cloudformation.engine.validations import ValidationError

_expand = transformers.expand_fn_foreach
_transform_resources = ChangeSetModelTransform._execute_local_transforms


def _expand_with_ids(loop, context, replaced=None):
    """`&{name}` in a logical id of Fn::ForEach is the value's letters and digits.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-foreach.html
    """
    name, values, body = loop
    known = {key.replace("&{", "${"): value for key, value in body.items()}
    made = _expand([name, values, known], context, replaced)
    if known.keys() == body.keys():
        return made
    return {re.sub("[^A-Za-z0-9]", "", key): value for key, value in made.items()}


def _transform_before_sam(self):
    """Resources may name what SAM makes only later, such as a function's alias."""
    try:
        _transform_resources(self)
    except ValidationError as error:
        if "Unresolved resource dependencies" not in str(error):
            raise


transformers.expand_fn_foreach = _expand_with_ids
ChangeSetModelTransform._execute_local_transforms = _transform_before_sam
