"""python -m protoexplain"""

from protoexplain.cli.main import main

main()
