"""Teaches LocalStack's CloudFormation `&{name}` in the logical ids of `Fn::ForEach`.

CloudFormation puts in a value's letters and digits there; LocalStack 4.14 knows `${name}` alone. The
container runs this file when it starts; without Docker a hook of `servers` imports it.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-foreach.html
"""

import re

from localstack.services.cloudformation.engine import transformers

_expand = transformers.expand_fn_foreach


def _expand_with_ids(loop, context, replaced=None):
    name, values, body = loop
    known = {key.replace("&{", "${"): value for key, value in body.items()}
    made = _expand([name, values, known], context, replaced)
    if known.keys() == body.keys():
        return made
    return {re.sub("[^A-Za-z0-9]", "", key): value for key, value in made.items()}


transformers.expand_fn_foreach = _expand_with_ids
